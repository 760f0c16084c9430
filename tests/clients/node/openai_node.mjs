// openai-node, pointed by OPENAI_BASE_URL and OPENAI_API_KEY.
import OpenAI from 'openai'
import { WORDS, answerTurns, retriesOf, weatherSchema } from './turns.mjs'

const asked = {
  chat: (turn) => ({
    messages: [{ role: 'user', content: WORDS }],
    ...(turn.tool && { tools: [{ type: 'function', function: { name: 'weather', parameters: weatherSchema } }] }),
  }),
  responses: (turn) => ({
    input: WORDS,
    ...(turn.tool && { tools: [{ type: 'function', name: 'weather', parameters: weatherSchema }] }),
  }),
}

await answerTurns(async (turn) => {
  process.env.OPENAI_BASE_URL = turn.base_url
  process.env.OPENAI_API_KEY = turn.token
  const client = new OpenAI(retriesOf(turn))
  if (turn.endpoint === 'embeddings') return client.embeddings.create({ model: turn.model, input: [WORDS] })
  const calls = turn.endpoint === 'responses' ? client.responses : client.chat.completions
  const body = { model: turn.model, ...asked[turn.endpoint](turn) }
  if (!turn.stream) return await calls.create(body)
  const chunks = []
  for await (const chunk of await calls.create({ ...body, stream: true })) chunks.push(chunk)
  return chunks
})

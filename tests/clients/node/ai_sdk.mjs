// The Vercel AI SDK: one turn with a model of any of its providers; a called tool is run and told about.
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { WORDS, retriesOf, weatherSchema } from './turns.mjs'

export async function takeWith(model, turn) {
  const execute = async ({ city }) => `Rain in ${city}.`
  const weather = tool({ description: 'Tell the weather', inputSchema: jsonSchema(weatherSchema), execute })
  const asked = { model, prompt: WORDS, stopWhen: stepCountIs(3), ...retriesOf(turn), ...(turn.tool && { tools: { weather } }) }
  if (!turn.stream) return shown(await generateText(asked))
  let failed
  const result = streamText({ ...asked, onError: ({ error }) => (failed = error) })
  const parts = []
  for await (const part of result.fullStream) parts.push(part.type)
  if (failed) throw failed
  return { parts, ...(await shown(result)) }
}

async function shown(result) {
  const steps = await result.steps
  return {
    text: await result.text,
    steps: steps.map(({ content, finishReason, usage, providerMetadata }) => ({
      content,
      finishReason,
      usage,
      providerMetadata,
    })),
  }
}

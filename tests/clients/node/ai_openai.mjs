// Vercel AI SDK with createOpenAI, pointed by OPENAI_BASE_URL and OPENAI_API_KEY; it calls /responses unless asked.
import { createOpenAI } from '@ai-sdk/openai'
import { takeWith } from './ai_sdk.mjs'
import { answerTurns } from './turns.mjs'

await answerTurns((turn) => {
  process.env.OPENAI_BASE_URL = turn.base_url
  process.env.OPENAI_API_KEY = turn.token
  const provider = createOpenAI()
  return takeWith(turn.endpoint === 'responses' ? provider(turn.model) : provider.chat(turn.model), turn)
})

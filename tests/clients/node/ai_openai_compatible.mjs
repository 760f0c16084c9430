// Vercel AI SDK with @ai-sdk/openai-compatible, pointed by baseURL and apiKey.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { takeWith } from './ai_sdk.mjs'
import { answerTurns } from './turns.mjs'

await answerTurns((turn) => {
  const provider = createOpenAICompatible({ name: 'tollkeeper', baseURL: turn.base_url, apiKey: turn.token })
  return takeWith(provider(turn.model), turn)
})

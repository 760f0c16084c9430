// Vercel AI SDK with @openrouter/ai-sdk-provider, pointed by baseURL and apiKey.
import { createOpenRouter } from '@openrouter/ai-sdk-provider'
import { takeWith } from './ai_sdk.mjs'
import { answerTurns } from './turns.mjs'

await answerTurns((turn) => takeWith(createOpenRouter({ baseURL: turn.base_url, apiKey: turn.token })(turn.model), turn))

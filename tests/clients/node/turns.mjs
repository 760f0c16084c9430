// Answers turns as python/turns.py does: one JSON object a line on stdin, what came of it as one line on stdout.
// A turn has base_url (ends in /v1), token, model, endpoint (chat, responses, embeddings), stream, tool and retries.
import { createInterface } from 'node:readline'

export const WORDS = 'What is the weather in Paris?'
export const weatherSchema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }

// The setting for retries; null leaves the default.
export const retriesOf = (turn) => (turn.retries === null ? {} : { maxRetries: turn.retries })

export async function answerTurns(take) {
  for await (const line of createInterface({ input: process.stdin })) {
    let given
    try {
      given = await take(JSON.parse(line))
    } catch (error) {
      given = { raised: told(error) }
    }
    process.stdout.write(JSON.stringify(given) + '\n')
  }
}

// The status stands on the error, or on the last one of the attempts it tells about.
function told(error) {
  const inner = error.lastError ?? error.cause ?? error
  return {
    kind: error.name === 'Error' ? error.constructor.name : error.name,
    status: error.status ?? error.statusCode ?? inner.statusCode ?? inner.status ?? null,
    text: error.message,
  }
}

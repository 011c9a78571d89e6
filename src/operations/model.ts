/** The optional language model: Workers AI, or any address that speaks OpenAI's chat completions. Off unless it is configured. */
import type { Env } from '../contracts/bindings.ts'
import type { Message } from '../core/nl/rephrase.ts'

const waitMs = 10_000
const answerTokens = 200
const defaultWorkersModel = '@cf/meta/llama-3.3-70b-instruct-fp8-fast'

export function hasModel(env: Env): boolean {
  return Boolean(env.MODEL_URL || env.AI)
}

/** What it says; undefined when it says nothing in time: a model that is down must not take sentences down that need none. */
export async function askModel(env: Env, messages: Message[]): Promise<string | undefined> {
  try {
    return env.MODEL_URL ? await askAddress(env, messages) : await askWorkersAi(env, messages)
  } catch (error) {
    console.error('the model did not answer', String(error))
    return undefined
  }
}

async function askAddress({ MODEL_URL, MODEL_KEY, MODEL_NAME }: Env, messages: Message[]): Promise<string | undefined> {
  const url = `${(MODEL_URL as string).replace(/\/+$/, '')}/chat/completions`
  const body = { model: MODEL_NAME ?? 'default', messages, temperature: 0, max_tokens: answerTokens }
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(MODEL_KEY ? { authorization: `Bearer ${MODEL_KEY}` } : {}) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(waitMs),
  })
  if (!response.ok) throw new Error(`${response.status} ${(await response.text()).slice(0, 200)}`)
  const answer = (await response.json()) as { choices?: { message?: { content?: unknown } }[] }
  const content = answer.choices?.[0]?.message?.content
  return typeof content === 'string' ? content : undefined
}

async function askWorkersAi({ AI, MODEL_NAME }: Env, messages: Message[]): Promise<string | undefined> {
  const late = scheduler.wait(waitMs).then(() => {
    throw new Error(`no answer in ${waitMs / 1_000} s`)
  })
  const options = { messages, temperature: 0, max_tokens: answerTokens }
  const answer = await Promise.race([AI?.run(MODEL_NAME ?? defaultWorkersModel, options), late])
  return typeof answer?.response === 'string' ? answer.response : undefined
}

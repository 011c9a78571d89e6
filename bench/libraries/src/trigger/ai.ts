import { createOpenAI } from '@ai-sdk/openai'
import { task } from '@trigger.dev/sdk'
import { generateText } from 'ai'

const model = createOpenAI({ apiKey: 'key' })('gpt-4o')
export const ai = task({ id: 'ai', run: async () => ({ ready: typeof generateText, model: model.modelId }) })

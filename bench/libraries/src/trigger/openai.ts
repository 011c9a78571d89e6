import { task } from '@trigger.dev/sdk'
import OpenAI from 'openai'

const client = new OpenAI({ apiKey: 'key' })
export const openai = task({ id: 'openai', run: async () => ({ ready: typeof client.chat }) })

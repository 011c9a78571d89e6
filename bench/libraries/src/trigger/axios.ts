import { task } from '@trigger.dev/sdk'
import axios from 'axios'

const client = axios.create({ baseURL: 'http://127.0.0.1:1' })
export const withAxios = task({ id: 'axios', run: async () => ({ ready: typeof client.get }) })

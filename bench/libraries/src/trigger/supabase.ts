import { createClient } from '@supabase/supabase-js'
import { task } from '@trigger.dev/sdk'

const client = createClient('http://127.0.0.1:1', 'key')
export const supabase = task({ id: 'supabase', run: async () => ({ ready: typeof client.from }) })

import { task } from '@trigger.dev/sdk'
import { load } from 'cheerio'

export const cheerio = task({ id: 'cheerio', run: async () => ({ ready: typeof load }) })

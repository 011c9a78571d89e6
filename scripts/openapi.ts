/** Writes openapi/openapi.json from the app; `--check` fails when the checked-in document is stale. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createApp, documentInfo } from '../src/api/app.ts'

const file = fileURLToPath(new URL('../openapi/openapi.json', import.meta.url).href)
const text = `${JSON.stringify(createApp().getOpenAPI31Document(documentInfo), null, 2)}\n`
if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    console.error('openapi/openapi.json is stale: run `npm run openapi`')
    process.exit(1)
  }
} else {
  writeFileSync(file, text)
}

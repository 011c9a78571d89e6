import { defineConfig } from '@trigger.dev/sdk'

export default defineConfig({
  project: 'proj_benchbenchbenchbench',
  dirs: ['./src/trigger'],
  maxDuration: 300,
})

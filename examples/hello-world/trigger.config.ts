import { defineConfig } from '@trigger.dev/sdk'

export default defineConfig({
  project: 'proj_helloworldexamplesss',
  dirs: ['./src/trigger'],
  maxDuration: 60,
  retries: {
    enabledInDev: true,
    default: { maxAttempts: 3, minTimeoutInMs: 500, maxTimeoutInMs: 5_000, factor: 2, randomize: false },
  },
})

import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'node',
          include: ['src/**/*.test.ts', 'scripts/**/*.test.ts', 'openapi/**/*.test.ts'],
          exclude: ['src/**/*.worker.test.ts', '**/node_modules/**'],
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: { bindings: { ROOT_SECRET: '00'.repeat(32), ALLOW_PRIVATE_EGRESS: 'true' } },
          }),
        ],
        test: { name: 'workerd', include: ['src/**/*.worker.test.ts'], testTimeout: 20_000 },
      },
    ],
  },
})

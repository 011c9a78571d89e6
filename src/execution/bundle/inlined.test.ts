import { describe, expect, it } from 'vitest'
import { inlinedModules } from './inlined.ts'

const worker = `import { init_esm } from "./chunk-A.mjs";

// ../../node_modules/trigger.dev/dist/esm/entryPoints/managed-run-worker.js
init_esm();

// ../../node_modules/@trigger.dev/core/dist/esm/v3/tracer.js
init_esm();
var TriggerTracer = class {
  start() {}
};
function helper() {}

// ../../node_modules/trigger.dev/dist/esm/entryPoints/managed-run-worker.js
process.on("disconnect", () => process.exit(1));
`

describe('library modules inside the run worker', () => {
  it('are cut out and exported, the bootstrap is not', () => {
    const found = inlinedModules('node_modules/trigger.dev/entryPoints/managed-run-worker.mjs', worker)
    expect(found?.path).toBe('node_modules/trigger.dev/entryPoints/inlined-core.mjs')
    expect(found?.names).toEqual(['TriggerTracer', 'helper'])
    expect(found?.text).toContain('import { init_esm } from "./chunk-A.mjs"')
    expect(found?.text).toContain('export { TriggerTracer, helper };')
    expect(found?.text).not.toContain('process.on')
  })

  it('are none in a worker without comments or without libraries', () => {
    expect(inlinedModules('w.mjs', 'var a = 1')).toBeUndefined()
    expect(inlinedModules('w.mjs', '// ../trigger.dev/dist/esm/entryPoints/managed-run-worker.js\nvar a = 1')).toBeUndefined()
  })
})

/** Stack frames of an isolate back to the user's TypeScript. Frames without a map stay as they are. */
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import type { ColumnShift } from './fresh.ts'
import { resolvePath } from './paths.ts'

export interface StackMaps {
  /** Bundle path → text of its source map. */
  sourceMaps: Record<string, string>
  /** Bundle path → where it stands in layer.js (lines count from 1). */
  lineOffsets: Record<string, { line: number; lines: number; shifts: ColumnShift[] }>
}

const frame = /(?:file:\/\/\/(?:bundle\/)?)?([\w@.+~$/[\]-]+\.m?js):(\d+):(\d+)/g

export function mapStack(stack: string, maps: StackMaps): string {
  const traced = new Map<string, TraceMap | undefined>()
  return stack
    .split('\n')
    .map((line) =>
      /^\s*at /.test(line)
        ? line.replace(frame, (whole, file, row, column) => place(whole, file, Number(row), Number(column)))
        : line,
    )
    .join('\n')

  function place(whole: string, file: string, row: number, column: number): string {
    const spot = file === 'layer.js' ? inLayer(row, column, maps) : { path: file, line: row, column }
    if (!spot) return whole
    if (!traced.has(spot.path)) traced.set(spot.path, read(maps.sourceMaps[spot.path]))
    const map = traced.get(spot.path)
    if (!map) return file === 'layer.js' ? `${spot.path}:${spot.line}:${spot.column}` : whole
    const found = originalPositionFor(map, { line: spot.line, column: Math.max(0, spot.column - 1) })
    if (!found.source || found.line === null) return file === 'layer.js' ? `${spot.path}:${spot.line}:${spot.column}` : whole
    return `${resolvePath(spot.path, found.source)}:${found.line}:${found.column + 1}`
  }
}

function inLayer(row: number, column: number, maps: StackMaps): { path: string; line: number; column: number } | undefined {
  for (const [path, { line, lines, shifts }] of Object.entries(maps.lineOffsets)) {
    if (row < line || row >= line + lines) continue
    let shift = 0
    for (const [at, from, by] of shifts) {
      if (at > row || (at === row && from > column - 1)) break
      if (at === row) shift = by
    }
    return { path, line: row - line + 1, column: column - shift }
  }
  return undefined
}

function read(map: string | undefined): TraceMap | undefined {
  if (!map) return undefined
  try {
    return new TraceMap(map)
  } catch {
    return undefined
  }
}

/** Many runs as one live subscription: those with all of some tags, or of a batch. */
import type { RunDetail } from './rpc.ts'

export interface FeedQuery {
  /** All of them. */
  tags?: string[]
  batchId?: string
  /** Made at this time or later, epoch ms. */
  from?: number
}

export interface FeedPage {
  /** Changed since, the longest ago first. Without the runs they belong to. */
  runs: RunDetail[]
  /** Where the next question goes on. */
  revision: number
  /** More has changed than fits. */
  isCut: boolean
}

export const feedLimits = {
  /** The newest ones of a feed. */
  runs: 1_000,
  pageRuns: 200,
  /** Of payloads, outputs and metadata in one answer. */
  pageChars: 524_288,
  tags: 10,
} as const

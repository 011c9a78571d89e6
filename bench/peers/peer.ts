/** One platform under load. All have the jobs `noop`, `fan-out` and `sleeper`, taken and asked for over HTTP. */
export interface Peer {
  name: string
  /** Resolves when the platform has durably taken the job. */
  trigger(job: string, input: Record<string, unknown>): Promise<string>
  /** Undefined while the job is not finished; throws when it failed. */
  result(job: string, id: string): Promise<Record<string, number> | undefined>
  stop(): Promise<void>
}

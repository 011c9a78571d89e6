/**
 * Calls that arrive together are decided together and written in one transaction (design §3.2). Memory runs ahead inside a
 * turn; when the turn fails nothing of it is kept, memory is loaded again, and each call is tried alone.
 */
import type { RpcResult } from '../../contracts/rpc.ts'
import { pump } from './attempts.ts'
import type { Executors } from './executors.ts'
import type { Effect, EnvironmentState, Turn } from './state.ts'

const groupSize = 200
const waitingLimit = 2_000

interface Call {
  decide: (turn: Turn) => RpcResult<unknown>
  resolve: (result: RpcResult<never>) => void
  reject: (error: unknown) => void
}

export class GroupCommit {
  private calls: Call[] = []
  private scheduled = false
  private readonly storage: DurableObjectStorage
  private readonly state: EnvironmentState
  private readonly executors: Executors
  /** Called after each commit with what it decided to do. */
  private readonly committed: (effects: Effect[]) => void

  constructor(
    storage: DurableObjectStorage,
    state: EnvironmentState,
    executors: Executors,
    committed: (effects: Effect[]) => void,
  ) {
    this.storage = storage
    this.state = state
    this.executors = executors
    this.committed = committed
  }

  /** Callers from outside are told to come again; what the object itself has to do is never turned away. */
  get isBusy(): boolean {
    return this.calls.length >= waitingLimit
  }

  decide<T>(decide: (turn: Turn) => RpcResult<T>): Promise<RpcResult<T>> {
    return new Promise((resolve, reject) => {
      this.calls.push({ decide, resolve: resolve as Call['resolve'], reject })
      this.schedule()
    })
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    setTimeout(() => this.flush(), 0)
  }

  private flush(): void {
    this.scheduled = false
    const group = this.calls.splice(0, groupSize)
    if (this.calls.length > 0) this.schedule()
    if (!this.commit(group)) for (const call of group) this.commit([call])
  }

  private commit(group: Call[]): boolean {
    const turn: Turn = { state: this.state, executors: this.executors, now: Date.now(), random: Math.random }
    const results: RpcResult<unknown>[] = []
    try {
      this.storage.transactionSync(() => {
        for (const call of group) results.push(call.decide(turn))
        pump(turn)
        this.state.write(turn.now)
      })
    } catch (error) {
      this.state.load(Date.now())
      if (group.length > 1) return false
      console.error('a decision failed', error instanceof Error ? error.stack : String(error))
      group[0]?.reject(error)
      return true
    }
    for (const [index, call] of group.entries()) call.resolve(results[index] as RpcResult<never>)
    this.committed(this.state.effects.splice(0))
    return true
  }
}

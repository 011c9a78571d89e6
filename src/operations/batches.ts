/** Batches of all three API generations end in createBatch + addBatchItems; items cross to the object in chunks. */
import type { z } from 'zod'
import { sha256Hex } from '../auth/crypto.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError, RpcRefusal } from '../contracts/errors.ts'
import { locatorOf, mintId, partitionOf } from '../contracts/ids.ts'
import { limits } from '../contracts/limits.ts'
import type { BatchItem, BatchRecord } from '../contracts/objects.ts'
import type { Caller, TriggerOptions } from '../contracts/rpc.ts'
import type { batchItemSchema, indexedItemSchema } from '../contracts/trigger.schema.ts'
import { callEnvironment } from './objects.ts'
import { optionsOf, partitionFor, storePayload, type TriggerContext } from './trigger.ts'

export { readItemHead } from '../core/batch/item-head.ts'

export interface NewBatch {
  runCount: number
  parentRunId?: string
  resumeParentOnCompletion?: boolean
  idempotencyKey?: string
}
export interface CreatedBatch {
  id: string
  runCount: number
  isCached: boolean
  idempotencyKey?: string
}

export async function createBatch(
  env: Env,
  caller: Caller,
  batch: NewBatch,
  context: Pick<TriggerContext, 'requestKey' | 'oneTimeToken'>,
): Promise<CreatedBatch> {
  const partition = partitionFor(batch, caller)
  const batchId = mintId('batch', caller.environment.locator, partition)
  const { requestKey, oneTimeToken } = context
  const operationId = requestKey ? await sha256Hex(`${requestKey}\n${caller.environment.id}\nbatch`) : batchId
  const input = { batchId, operationId, ...batch, ...(oneTimeToken ? { oneTimeToken } : {}) }
  return callEnvironment(env, caller.environment.locator, partition, (environment) => environment.createBatch(caller, input))
}

export interface ItemsResult {
  itemsAccepted: number
  itemsDeduplicated: number
  sealed: boolean
  enqueuedCount: number
  expectedCount: number
}

type IndexedItem = z.infer<typeof indexedItemSchema>

/** Takes items as they arrive and sends them on in chunks an RPC can carry. */
export class ItemSender {
  readonly #env: Env
  readonly #caller: Caller
  readonly #batchId: string
  readonly #context: TriggerContext
  #pending: BatchItem[] = []
  #bytes = 0
  #total: ItemsResult = { itemsAccepted: 0, itemsDeduplicated: 0, sealed: false, enqueuedCount: 0, expectedCount: 0 }

  constructor(env: Env, caller: Caller, batchId: string, context: TriggerContext) {
    this.#env = env
    this.#caller = caller
    this.#batchId = batchId
    this.#context = context
    if (locatorOf(batchId) !== caller.environment.locator) throw new OperationError('UNPROCESSABLE', `Batch ${batchId} not found`)
  }

  /** An item that cannot be triggered takes its place as a failed run (2.86); an option that is not built refuses the upload. */
  async add(item: IndexedItem): Promise<void> {
    const { index, task, ...body } = item
    try {
      await this.put(index, task, optionsOf(this.#env, this.#caller, task, body, this.#context))
    } catch (error) {
      if (!(error instanceof OperationError) || error.code === 'NOT_IMPLEMENTED') throw error
      await this.refuse(index, task, 'BATCH_ITEM_COULD_NOT_TRIGGER', error.message)
    }
  }

  async put(index: number, task: string, options: TriggerOptions): Promise<string> {
    const input = await storePayload(this.#env, this.#caller, { ...this.#place(index), task, options })
    input.options.batch = { id: this.#batchId, index }
    await this.#queue({ ...input, index })
    return input.runId
  }

  async refuse(index: number, task: string, code: NonNullable<BatchItem['refused']>['code'], message: string): Promise<void> {
    const options = { payload: { dataType: 'application/json' }, batch: { id: this.#batchId, index } }
    await this.#queue({ ...this.#place(index), task, options, index, refused: { code, message } })
  }

  /** The index makes a re-sent item the same operation. */
  #place(index: number): { runId: string; operationId: string } {
    const partition = partitionOf(this.#batchId) as string
    const runId = mintId('run', this.#caller.environment.locator, partition, this.#context.now)
    return { runId, operationId: `${this.#batchId}:${index}` }
  }

  async #queue(item: BatchItem): Promise<void> {
    this.#pending.push(item)
    this.#bytes += (item.options.payload.data?.length ?? 0) + (item.options.metadata?.data?.length ?? 0) + 512
    if (this.#bytes >= limits.rpcBytes || this.#pending.length >= limits.rpcItems) await this.#send()
  }

  async finish(): Promise<ItemsResult> {
    await this.#send()
    return this.#total
  }

  async #send(): Promise<void> {
    const items = this.#pending
    if (items.length === 0 && this.#total.expectedCount > 0) return
    this.#pending = []
    this.#bytes = 0
    const { locator } = this.#caller.environment
    try {
      const result = await callEnvironment(this.#env, locator, partitionOf(this.#batchId) as string, (environment) =>
        environment.addBatchItems(this.#caller, this.#batchId, items),
      )
      this.#total = {
        ...result,
        itemsAccepted: this.#total.itemsAccepted + result.itemsAccepted,
        itemsDeduplicated: this.#total.itemsDeduplicated + result.itemsDeduplicated,
      }
    } catch (error) {
      // Upstream answers 422 here, also for a miss.
      if (error instanceof RpcRefusal && error.rpc.status === 404) {
        throw new OperationError('UNPROCESSABLE', `Batch ${this.#batchId} not found`)
      }
      throw error
    }
  }
}

/** Generation 1 and 2: batch and items in one request. Runs exist when this answers. */
export async function batchTrigger(
  env: Env,
  caller: Caller,
  items: z.infer<typeof batchItemSchema>[],
  batch: Omit<NewBatch, 'runCount'>,
  context: TriggerContext,
): Promise<{ batch: CreatedBatch; runs: { id: string; taskIdentifier: string; isCached: boolean; idempotencyKey?: string }[] }> {
  // All of them are read before anything is made: one bad item refuses the batch, and nothing was changed.
  const parent = batch.parentRunId ? { parentRunId: batch.parentRunId } : {}
  const prepared = items.map(({ task, ...body }) =>
    optionsOf(env, caller, task, { ...body, options: { ...body.options, ...parent } }, context),
  )
  const created = await createBatch(env, caller, { ...batch, runCount: items.length }, context)
  const minted: string[] = []
  if (!created.isCached) {
    const sender = new ItemSender(env, caller, created.id, context)
    for (const [index, options] of prepared.entries()) minted.push(await sender.put(index, items[index]?.task as string, options))
    await sender.finish()
  }
  const record = await getBatch(env, caller, created.id)
  const runs = items.map((item, index) => {
    const id = record.runs[index] ?? (minted[index] as string)
    const idempotencyKey = item.options?.idempotencyKey
    return {
      id,
      taskIdentifier: item.task,
      // A debounced run is shared, not cached.
      isCached: created.isCached || (id !== minted[index] && (idempotencyKey !== undefined || !item.options?.debounce)),
      ...(idempotencyKey ? { idempotencyKey } : {}),
    }
  })
  return { batch: created, runs }
}

export async function getBatch(env: Env, caller: Caller, id: string): Promise<BatchRecord> {
  const miss = new OperationError('NOT_FOUND', 'Not found', { headers: { 'x-should-retry': 'true' } })
  if (locatorOf(id) !== caller.environment.locator) throw miss
  try {
    return await callEnvironment(env, caller.environment.locator, partitionOf(id) as string, (environment) =>
      environment.getBatch(caller, id),
    )
  } catch (error) {
    if (error instanceof RpcRefusal && error.rpc.status === 404) throw miss
    throw error
  }
}

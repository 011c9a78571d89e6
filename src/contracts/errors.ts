/** Codes of refusals and the error operations throw. The HTTP status of each code is known by api/error-handler.ts only. */
import type { RpcError } from './rpc.ts'

export type ErrorCode =
  | 'INVALID_REQUEST'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'CONFLICT'
  | 'TOO_LARGE'
  | 'LENGTH_REQUIRED'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'UNPROCESSABLE'
  | 'RATE_LIMITED'
  | 'INTERNAL'
  | 'NOT_IMPLEMENTED'
  | 'OVERLOADED'
  | 'NOT_INITIALISED'

export interface RefusalExtras {
  /** Siblings of `error` in the answer. */
  body?: Record<string, unknown>
  headers?: Record<string, string>
}

export class OperationError extends Error {
  readonly code: ErrorCode
  readonly extras: RefusalExtras
  constructor(code: ErrorCode, message: string, extras: RefusalExtras = {}) {
    super(message)
    this.name = 'OperationError'
    this.code = code
    this.extras = extras
  }
}

/** A refusal an object answered as a value. */
export class RpcRefusal extends Error {
  readonly rpc: RpcError
  constructor(rpc: RpcError) {
    super(rpc.message)
    this.name = 'RpcRefusal'
    this.rpc = rpc
  }
}

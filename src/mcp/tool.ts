/** What a tool of the endpoint is: a name agents know, a checked input, the scope it needs, and what it does. */
import type { z } from 'zod'
import { mayDo, type Resource, scopeTable } from '../auth/scope-table.ts'
import { allows } from '../auth/scopes.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import type { Caller } from '../contracts/rpc.ts'

export interface ToolContext {
  env: Env
  caller: Caller
  /** Of a public token; absent = full access. */
  scopes?: string[]
  /** Refuses a token without the right; `operation` names the rule in the table of scopes. */
  require(resource: Resource): void
}

export interface Answer {
  /** What the platform itself says. */
  said: unknown
  /** What tasks wrote. */
  untrusted?: unknown
}

export interface Tool<S extends z.ZodObject = z.ZodObject> {
  name: string
  description: string
  input: S
  /** The operation whose rule in the table of scopes it goes by; without a rule it needs a full key. */
  operation: string
  /** It changes nothing. */
  isReadOnly: boolean
  /** It takes something away that cannot be had back. */
  isDestructive?: boolean
  run(input: z.infer<S>, context: ToolContext): Promise<Answer>
}

export function tool<S extends z.ZodObject>(definition: Tool<S>): Tool {
  return definition as unknown as Tool
}

/** Whether a token could ever call it: for the list of tools. */
export function isVisible({ operation }: Tool, scopes: string[] | undefined): boolean {
  if (!scopes) return true
  return (scopeTable[operation] ?? []).some((template) => {
    const [action, type] = template.split(':') as [string, string]
    return scopes.some((scope) => {
      const id = scope.split(':').slice(2).join(':')
      return allows([scope], { action, type, ...(id ? { id } : {}) })
    })
  })
}

export function requireScope(operation: string, scopes: string[] | undefined, resource: Resource): void {
  const rule = scopeTable[operation]
  if (mayDo(scopes, rule, resource)) return
  const needed = rule?.map((template) => template.replace(/\{(\w+)\}/g, '<$1>')).join(', ')
  throw new OperationError(
    'FORBIDDEN',
    needed
      ? `This needs a token with one of the scopes ${needed}.`
      : 'This needs the secret key of the environment, not a public token.',
  )
}

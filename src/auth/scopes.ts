/** Scope grammar `action:type[:id]`; ids may contain colons (api-surface.md §2.3). */
export interface Requirement {
  action: string
  type: string
  id?: string
}

/** Routes that need one of these also take `write`. */
const aliases = new Set(['trigger', 'batchTrigger', 'update'])

export function allows(scopes: string[], requirement: Requirement): boolean {
  return scopes.some((scope) => {
    if (scope === 'admin') return true
    const [action, type, ...rest] = scope.split(':')
    const id = rest.length > 0 ? rest.join(':') : undefined
    const actionFits = action === '*' || action === requirement.action || (action === 'write' && aliases.has(requirement.action))
    const typeFits = type === 'all' || type === requirement.type
    return actionFits && typeFits && (id === undefined || id === requirement.id)
  })
}

/** No scopes at all is a full-access key. */
export function allowsAny(scopes: string[] | undefined, requirements: Requirement[]): boolean {
  return scopes === undefined || requirements.some((requirement) => allows(scopes, requirement))
}

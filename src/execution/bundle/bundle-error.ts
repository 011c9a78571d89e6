/** Every refusal of an uploaded bundle: a code for machines, one sentence for the person who ran the deploy. */
export type BundleErrorCode =
  | 'NOT_GZIP'
  | 'TRUNCATED_ARCHIVE'
  | 'BAD_ARCHIVE'
  | 'UNSAFE_PATH'
  | 'UNSUPPORTED_ENTRY'
  | 'ARCHIVE_TOO_LARGE'
  | 'FILE_TOO_LARGE'
  | 'TOO_MANY_FILES'
  | 'NOT_A_BUNDLE'
  | 'MINIFIED_BUNDLE'
  | 'BUNDLE_TOO_LARGE'
  | 'UNREADABLE_MODULE'

export class BundleError extends Error {
  readonly code: BundleErrorCode
  constructor(code: BundleErrorCode, message: string) {
    super(message)
    this.name = 'BundleError'
    this.code = code
  }
}

export function mebibytes(bytes: number): string {
  return `${Math.round((bytes / 1_048_576) * 10) / 10} MiB`
}

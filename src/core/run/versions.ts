/** Versions are `<yyyymmdd>.<n>`: later day first, then the higher number (1.33). */
export function isNewerVersion(version: string, than: string): boolean {
  const [day, number] = version.split('.') as [string, string]
  const [otherDay, otherNumber] = than.split('.') as [string, string]
  return day === otherDay ? Number(number) > Number(otherNumber) : day > otherDay
}

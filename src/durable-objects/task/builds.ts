/**
 * Builds that wait for a Node host. Nothing is stored: a deploy is one request, and it fails when this object ends before the host
 * has answered; the host asks again.
 */
import type { Build, BuildOutcome } from '../../contracts/node-host.ts'

/** A host counts as there for this long after it last asked. */
const askedWithinMs = 15_000
/** `npm install` and loading the code: within what a client waits for an answer. */
const buildWithinMs = 280_000

interface Question {
  id: string
  answer: (builds: Build[]) => void
}
interface Pending {
  build: Build
  isGiven: boolean
  end: (outcome: BuildOutcome) => void
}

export class Builds {
  private questions: Question[] = []
  private readonly pending = new Map<string, Pending>()
  private askedAt = 0

  /** Held open until there is something to build. */
  wait(id: string, holdMs: number): Promise<Build[]> {
    const open = this.take()
    this.askedAt = Date.now()
    if (open.length > 0) return Promise.resolve(open)
    return new Promise((resolve) => {
      const timer = setTimeout(() => question.answer([]), holdMs)
      const question: Question = {
        id,
        answer: (builds) => {
          if (!this.questions.includes(question)) return
          this.questions = this.questions.filter((other) => other !== question)
          clearTimeout(timer)
          this.askedAt = Date.now()
          resolve(builds)
        },
      }
      this.questions.push(question)
    })
  }

  /** Its client is gone. */
  stop(id: string): void {
    for (const question of this.questions) if (question.id === id) question.answer([])
    if (this.questions.length === 0) this.askedAt = 0
  }

  get isHosted(): boolean {
    return this.questions.length > 0 || this.askedAt > Date.now() - askedWithinMs
  }

  request(build: Build): Promise<BuildOutcome> {
    return new Promise((resolve) => {
      const late = `The Node host did not index the deployment within ${buildWithinMs / 1_000} seconds.`
      const timer = setTimeout(() => end({ ok: false, code: 'NODE_HOST_SILENT', message: late }), buildWithinMs)
      const end = (outcome: BuildOutcome): void => {
        clearTimeout(timer)
        this.pending.delete(build.deploymentId)
        resolve(outcome)
      }
      this.pending.set(build.deploymentId, { build, isGiven: false, end })
      if (this.questions.length > 0) this.questions[0]?.answer(this.take())
    })
  }

  /** False when nobody waits for it. */
  end(deploymentId: string, outcome: BuildOutcome): boolean {
    const pending = this.pending.get(deploymentId)
    pending?.end(outcome)
    return pending !== undefined
  }

  private take(): Build[] {
    const open = [...this.pending.values()].filter(({ isGiven }) => !isGiven)
    for (const each of open) each.isGiven = true
    return open.map(({ build }) => build)
  }
}

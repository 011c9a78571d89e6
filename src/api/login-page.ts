/** The pages of a login. No script; nothing from elsewhere; nobody may frame them or keep them. */

export function loginHeaders(callbackPort?: number): Record<string, string> {
  // After the form is sent the browser goes on to the CLI, which the policy counts as part of the form.
  const target = callbackPort === undefined ? '' : ` http://127.0.0.1:${callbackPort}`
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': `default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'${target}; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff',
    // Not `no-referrer`: with it a browser names no origin for its own form, and the form would be refused.
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store',
  }
}

const style = `
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 10vh auto; padding: 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem } dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere }
label { display: block; margin-top: 1.5rem } input, button { font: inherit; padding: .5rem .7rem }
input { width: 100%; box-sizing: border-box; margin: .3rem 0 .8rem } code { font: 1.1rem ui-monospace, monospace; overflow-wrap: anywhere }
.problem { border-left: 3px solid #c33; padding-left: .8rem }`

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${style}</style><main><h1>${title}</h1>${body}</main></html>`
}

export interface LoginForm {
  client: { name: string; address?: string }
  /** In words. */
  asked: string
  secret: string
  problem?: string
}

export function formPage({ client, asked, secret, problem }: LoginForm): string {
  const rows = [['Program', client.name], ['Asked', asked], ...(client.address ? [['From', client.address]] : [])]
  const list = rows.map(([name, value]) => `<dt>${name}</dt><dd>${escaped(value as string)}</dd>`).join('')
  return page(
    'Log the CLI in',
    `<p>A command line asks for access to your projects. Approve only if you have just run <code>trigger.dev login</code> yourself.</p>
<dl>${list}</dl>${problem ? `<p class="problem" role="alert">${escaped(problem)}</p>` : ''}
<form method="post"><input type="hidden" name="secret" value="${secret}">
<label>Personal access token <input type="password" name="token" autocomplete="off" required autofocus placeholder="tr_pat_…"></label>
<button>Approve</button></form>`,
  )
}

export function codePage(code: string): string {
  return page(
    'Approved',
    `<p>Copy this code into the command line:</p><p><code id="code">${code}</code></p><p>It works once.</p>`,
  )
}

export function overPage(message: string): string {
  return page('This login is over', `<p>${escaped(message)}</p>`)
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

// newsie (npm) against a site: log in, list, read, overview, post. What is wanted is in the environment.
const { default: Client } = require('newsie')

const wanted = process.env
const body = wanted.INTEROP_BODY.replace(/\n$/, '').split('\n')
const client = new Client({
  host: '127.0.0.1',
  port: Number(wanted.INTEROP_PORT),
  tlsPort: wanted.INTEROP_TLS === 'tls',
  tlsOptions: { ca: wanted.INTEROP_CERTIFICATE && require('fs').readFileSync(wanted.INTEROP_CERTIFICATE), servername: 'localhost' }
})

function check (what, holds, found) {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(found)}`)
}

async function main () {
  await client.connect()
  if (wanted.INTEROP_TLS === 'starttls') await client.startTls()
  if (wanted.INTEROP_USER) {
    const { authInfoPass } = await client.authInfoUser(wanted.INTEROP_USER)
    const accepted = await authInfoPass(wanted.INTEROP_PASSWORD)
    check('login', accepted.code === 281, accepted)
  }
  const { capabilities } = await client.capabilities()
  check('CAPABILITIES', 'READER' in capabilities && 'POST' in capabilities, capabilities)

  const { newsgroups } = await client.list()
  check('LIST', newsgroups.some(({ name }) => name === wanted.INTEROP_NEWSGROUP), newsgroups)
  const { group } = await client.group(wanted.INTEROP_NEWSGROUP)
  check('GROUP', group.number >= 1, group)
  const { articles } = await client.over({ start: group.low, end: group.high })
  const row = articles.find(({ messageId, headers }) => (messageId || headers['MESSAGE-ID']) === wanted.INTEROP_READ)
  check('OVER', row && JSON.stringify(row).includes(wanted.INTEROP_SUBJECT), articles)
  const read = await client.article(wanted.INTEROP_READ)
  check('ARTICLE', read.article.body.join('\n') === body.join('\n'), read)

  const id = `<${process.pid}.${Date.now()}@node.example>`
  const { send } = await client.post()
  const posted = await send({
    headers: {
      From: 'A Poster <poster@node.example>',
      Newsgroups: wanted.INTEROP_NEWSGROUP,
      Subject: wanted.INTEROP_SUBJECT,
      'Message-ID': id
    },
    body
  })
  check('POST', posted.code === 240, posted)
  await client.quit()
  console.log('newsie', id)
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})

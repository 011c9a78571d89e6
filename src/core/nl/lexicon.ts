/** The words the grammar knows: what carries no meaning of its own, which verbs mean the same, which words lead to a value. */
import { stem } from './stem.ts'

function list(words: string): string[] {
  return words.trim().split(/\s+/)
}

/** Carry no meaning for the choice of a task. */
export const stopwords = new Set(
  list(`a an the this that these those it its my our your their his her me us you i we all any some every each both and or then also
  please kindly just now be is are was were been to of for from with in on at by into onto via using through over per as about up out off
  down so can could would should will shall may might let lets want need like have has had do does there here one ones new's which who
  whose what within across between against them they he she everything anything something everyone everybody stuff thing things same`),
)

/** Verbs that only say that something is to run, and words for what runs. They count only for a task that has them in its id. */
export const neutral = new Set(
  list(`run start execute trigger launch schedule perform kick begin invoke fire queue enqueue dispatch do set setup sure background job
  jobs task tasks process again automatically once go ahead workflow`)
    .filter((word) => !/^(?:process)$/.test(word))
    .map(stem),
)

/** Parts of ids that say nothing about what the task does. */
export const generic = new Set(list('task job worker handler workflow fn function service cron scheduled v1 v2 v3').map(stem))

/** Say something about the thing, and seldom which task: when no task has them they weigh little. */
export const adjectives = new Set(
  list(`large big small huge new old latest recent full whole entire quick fast slow important urgent current specific given certain
  available possible corresponding respective following uploaded`).map(stem),
)

/** Each line is one meaning. A synonym counts a little less than the word itself, and only for the verb a sentence begins with. */
const verbLines = list(
  `send,email,mail,notify,message,deliver,alert,text,ping,post,tell
  transcode,encode,convert,reencode
  remove,delete,clean,cleanup,purge,erase,prune,wipe
  make,create,generate,build,produce,render,compose,place
  fetch,download,get,load,retrieve,pull,collect
  upload,push,store,save
  check,verify,validate,inspect,monitor,test
  sync,synchronize,mirror
  process,handle
  resize,scale,shrink
  charge,bill
  refresh,update,renew,recalculate
  compute,calculate
  scan,analyze,analyse
  summarize,summarise,digest
  backup,archive
  import,ingest
  translate,localize
  transform,map
  remind,nudge
  post,publish
  index,reindex
  cancel,abort,terminate`,
)
const nounLines = list(`image,photo,picture
  video,movie
  document,doc
  database,db
  repository,repo
  email,mail
  user,account
  customer,client
  statistics,stats`)

function groups(lines: string[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const line of lines) {
    const words = new Set(line.split(',').map(stem))
    for (const word of words) found.set(word, new Set([...(found.get(word) ?? []), ...words]))
  }
  return found
}

export const verbSynonyms = groups(verbLines)
export const nounSynonyms = groups(nounLines)

const moreVerbs =
  list(`start stop run pay ship place add cancel complete finish fail succeed expire change open close join leave sign log subscribe
  unsubscribe submit approve reject accept decline register confirm receive arrive drop exceed reach request refund return merge commit
  deploy release restart reboot crash connect disconnect enter exit move copy rename reset rotate revoke grant assign escalate trigger
  renew activate deactivate enable disable suspend block unblock ban invite order purchase buy sell book reserve schedule rebuild
  compress extract crop rotate watermark caption transcribe parse export print rank score train predict classify tag label train evaluate
  aggregate migrate seed restore rollback replicate recompute reconcile settle invoice forward reply write read edit modify view click
  visit call answer hang wait retry replay crawl scrape enrich dedupe deduplicate merge split sort filter lock unlock mark link unlink
  attach detach claim apply hire fire promote demote warm flush invalidate provision deprovision issue mint sweep rise fall increase
  decrease go come become happen occur appear end begin churn bounce lapse pass match mention comment rate review vote follow unfollow
  like share report flag checkout signup login logout setup lookup shutdown teardown failover onboard offboard launch publish draft`)

/** Stems of words that are read as verbs. */
export const verbs = new Set([...verbSynonyms.keys(), ...moreVerbs.map(stem)])

/** Tasks that take something away are meant only by a sentence that says so. */
export const destructive = new Set(
  list(`delete remove cancel stop drop purge wipe erase destroy disable deactivate terminate revoke refund reset ban block suspend
  unsubscribe clear flush shutdown teardown rollback prune clean cleanup abort deprovision offboard unlink detach`).map(stem),
)

/** A sentence that begins with one of these asks for something not to happen, unless the task has the word itself. */
export const stoppers = new Set(
  list('stop cancel disable pause avoid quit cease skip prevent abort unschedule suspend halt forbid').map(stem),
)

export const prepositions = new Set(
  list('to for from with in on at by into onto via using through of as about per over under between within against'),
)

/** Which names of fields a preposition speaks of. */
export const rolesOf: Record<string, string[]> = {
  to: list('to recipient recipients email address destination target format phone resolution quality'),
  into: list('into format target destination language'),
  onto: list('target destination'),
  as: list('as format type name role'),
  from: list('from source src origin sender since start'),
  for: list('for user customer owner client'),
  by: list('by author method user'),
  via: list('via channel provider method'),
  using: list('using method model provider engine'),
  with: list('with options settings'),
  in: list('in language locale region folder directory bucket format currency'),
  at: list('at url path endpoint size resolution quality'),
  on: list('on channel platform'),
  about: list('about topic subject'),
  of: list('of'),
}

/** Names a literal like "1080p" or "mp4" may fill after to, with, as, in, into and at. */
export const literalFields = new Set(
  list(`format resolution quality size type kind preset profile encoding codec language locale lang mode level target destination to
  output extension role status priority channel currency region color colour`).map(stem),
)

export const negations = new Set(
  list(`not never don't dont doesn't doesnt didn't didnt won't wont can't cant cannot shouldn't shouldnt mustn't isn't aren't wasn't
  weren't hasn't haven't hadn't ain't needn't no`),
)

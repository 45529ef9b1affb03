-- The store of one repository, version 7. SQLite 3.37 or newer (STRICT), WAL, application_id 'makf'.
--
-- The invariants J1-J7 are spelled out in makfs/store/model.py; checking.py reads them all back.
--
-- Names. A column of type ANY holds what people or programs named: TEXT when the bytes are UTF-8, else a
-- BLOB of the very bytes (keys.py). So two spellings of one name cannot both occur, equality is equality,
-- and since SQLite sorts every TEXT before every BLOB a prefix is one range in each of the two.
-- Numbers of time are ns since 1970, sizes are bytes, hashes are blake2b with 16 bytes.

-- Every path ever spoken of, once. Never deleted.
CREATE TABLE path (
    id     INTEGER PRIMARY KEY,
    folder ANY NOT NULL,           -- '' for entries of the root
    name   ANY NOT NULL,           -- no '/', never empty; only the root itself has folder '' and name ''
    UNIQUE (folder, name)          -- serves children(), below(), and every lookup of a path
) STRICT;

-- Texts of nodes, each once, found by what they say. Never changed; only `makfs gc` deletes them.
CREATE TABLE text (
    id         INTEGER PRIMARY KEY, -- in order of arrival, so that a new file's texts are neighbours
    hash       BLOB NOT NULL UNIQUE, -- of the text itself, not of what is kept
    size_bytes INTEGER NOT NULL,   -- of the text itself
    codec      INTEGER NOT NULL CHECK (codec IN (0, 1)), -- 0: `bytes` is the text; 1: zlib of the text
    bytes      BLOB NOT NULL
) STRICT;

-- The journal (J1): rows are only ever appended, seq is 1, 2, 3 ...
CREATE TABLE journal (
    seq           INTEGER PRIMARY KEY,
    agent         TEXT NOT NULL,
    time_ns       INTEGER NOT NULL,
    program       ANY NOT NULL,    -- '' if unknown
    pid           INTEGER NOT NULL, -- 0 if unknown
    note          ANY NOT NULL,    -- for people, often ''
    nodes_changed INTEGER NOT NULL, -- rows this commit has in `edit`
    last_node     INTEGER NOT NULL, -- highest node uid used up to and with this commit
    last_file     INTEGER NOT NULL, -- highest file uid likewise; no uid is ever used for two things
    task          ANY NOT NULL DEFAULT '' -- what its agent worked at, '' if it has not said
) STRICT;
CREATE INDEX journal_by_agent ON journal (agent, seq);
CREATE INDEX journal_by_program ON journal (program, seq);
CREATE INDEX journal_by_time ON journal (time_ns, seq); -- clocks are set back: not the order of seq
CREATE INDEX journal_by_task ON journal (task, seq) WHERE task <> '';

-- What stands at a path from `seq` on (J2), until the path's next row. Clustered by path, because the
-- question is always "the last row of this path up to seq". Seq 0 is the path's origin (J3): what was
-- there before the first commit that touched it; it is written in that commit's transaction.
CREATE TABLE revision (
    path         INTEGER NOT NULL REFERENCES path,
    seq          INTEGER NOT NULL,  -- a row of journal, or 0
    place        INTEGER NOT NULL,  -- order among the commit's paths, from 0; of origins: 0
    file         INTEGER NOT NULL,  -- file uid; of an absent path: of the file that stood there, 0 if none did
    kind         INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3), -- 0 absent, 1 file, 2 symlink, 3 directory
    mode         INTEGER NOT NULL,  -- permission bits
    content_hash BLOB NOT NULL,     -- of the whole content (J4); x'' unless a file
    size_bytes   INTEGER NOT NULL,
    target       BLOB NOT NULL,     -- of a symlink, else x''
    nodes        BLOB,              -- node list (packing.py); x'' for an empty file; NULL unless a file
                                    -- and NULL for a file too large to keep (only its hash is known)
    moved_from   INTEGER REFERENCES path, -- where the file stood before this commit, NULL if it did not move
    merged       INTEGER NOT NULL CHECK (merged IN (0, 1)), -- 1: head was not the base, the result is a merge
    PRIMARY KEY (path, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX revision_by_seq ON revision (seq) WHERE seq > 0; -- the paths of a commit
CREATE INDEX revision_by_hash ON revision (content_hash) WHERE nodes IS NOT NULL; -- text_by_hash()

-- Changes of nodes, as log and show tell them. `before` and `after` are NULL where there was no node, and
-- also where the text is larger than the limit of what is kept; `op` tells the two apart.
CREATE TABLE edit (
    seq         INTEGER NOT NULL REFERENCES journal,
    place       INTEGER NOT NULL,  -- order within the commit, from 0 without gaps
    path        INTEGER NOT NULL REFERENCES path,
    uid         INTEGER NOT NULL,  -- of the node
    op          TEXT NOT NULL,     -- value of makfs.syntax.node.Op
    kind        TEXT NOT NULL,     -- value of makfs.syntax.node.Kind
    address     ANY NOT NULL,      -- after the commit; before it, when the node was deleted
    old_address ANY NOT NULL,      -- of renames and moves, else ''
    before      INTEGER REFERENCES text,
    after       INTEGER REFERENCES text,
    PRIMARY KEY (seq, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX edit_by_node ON edit (uid, seq); -- older_texts()

-- Write-throughs owed to the backing directory (J5). A row appears with its commit and goes, a little
-- later, with some next transaction; after kill -9 some rows may stand for work that is done already,
-- which is harmless: doing it again changes nothing.
CREATE TABLE effect (
    id          INTEGER PRIMARY KEY, -- grows; not reused while a process holds the store
    seq         INTEGER NOT NULL REFERENCES journal,
    path        INTEGER NOT NULL REFERENCES path,
    before_hash BLOB NOT NULL      -- content hash the backing file had; x'' if absent or not a file
) STRICT;

-- Writes that were not committed, whole.
CREATE TABLE refusal (
    number    INTEGER PRIMARY KEY, -- 1, 2, 3 ...
    time_ns   INTEGER NOT NULL,
    agent     TEXT NOT NULL,
    path      ANY NOT NULL,        -- the whole path: it may be one that no commit ever touched
    program   ANY NOT NULL,
    pid       INTEGER NOT NULL,
    reason    ANY NOT NULL,
    base_seq  INTEGER NOT NULL,
    head_seq  INTEGER NOT NULL,
    addresses TEXT NOT NULL,       -- JSON list of strings, ASCII (surrogates escaped)
    mine      BLOB NOT NULL,       -- zlib
    base      BLOB,                -- zlib; NULL: unknown or not text
    is_whole  INTEGER NOT NULL DEFAULT 1 -- 0: refused at a write(2), so that more may have been to come
) STRICT;
CREATE INDEX refusal_by_agent ON refusal (agent, number);

-- The number of each agent's view; the same for ever, never given to another.
CREATE TABLE view (
    number INTEGER PRIMARY KEY,    -- from 1
    agent  TEXT NOT NULL UNIQUE
) STRICT;

-- File ids (32 bits) of paths whose own hash was taken when they appeared.
CREATE TABLE inode_exception (
    path    ANY PRIMARY KEY NOT NULL, -- the whole path
    file_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Locks that are held (J6). `address` is ANY, as a name is: files' names are in it. Rows come and go with
-- whatever transaction is next, so after kill -9 a lock may be missing or a released one still be there.
-- Times of locks are of the clock of whoever keeps them.
CREATE TABLE lock_grant (
    agent        TEXT NOT NULL,
    address      ANY NOT NULL,      -- '' is the whole repository
    mode         TEXT NOT NULL CHECK (mode IN ('IS', 'IX', 'S', 'SIX', 'X')),
    fence        INTEGER NOT NULL,  -- never above '@lock_fence' in meta
    since_ns     INTEGER NOT NULL,
    lease_ns     INTEGER NOT NULL,
    expires_ns   INTEGER NOT NULL,
    while_active INTEGER NOT NULL CHECK (while_active IN (0, 1)), -- 1: any operation of the agent renews it
    PRIMARY KEY (agent, address)
) STRICT, WITHOUT ROWID;

-- Requests that wait for locks: a row a claim, all else the same in each row of a ticket.
CREATE TABLE lock_waiter (
    ticket       INTEGER NOT NULL,  -- never above '@lock_ticket' in meta
    address      ANY NOT NULL,
    agent        TEXT NOT NULL,
    mode         TEXT NOT NULL CHECK (mode IN ('IS', 'IX', 'S', 'SIX', 'X')),
    arrived_ns   INTEGER NOT NULL,
    until_ns     INTEGER NOT NULL,  -- gives up at this instant
    lease_ns     INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    while_active INTEGER NOT NULL CHECK (while_active IN (0, 1)),
    place        INTEGER NOT NULL,  -- order among the request's claims, with gaps
    PRIMARY KEY (ticket, address)
) STRICT, WITHOUT ROWID;

-- What the lock table was asked and what it answered, the newest 100,000 calls, to be asked again by
-- `makfs replay --locks`. Written with some later transaction: a crash forgets the newest.
CREATE TABLE lock_event (
    number    INTEGER PRIMARY KEY,  -- grows by one
    now_ns    INTEGER NOT NULL,     -- the locks' clock after the call
    call      TEXT NOT NULL,        -- the table's method; 'start': the table as rows, where a replay may begin
    agent     ANY NOT NULL,         -- '' if of nobody
    arguments TEXT NOT NULL,        -- JSON object, ASCII
    outcome   ANY NOT NULL          -- words for people and a hash of the whole answer; '' of 'start'
) STRICT;

-- What happened beside commits, in one order with them (H1): after commit `seq` and before the next.
-- Written with some later transaction, or that of what it tells of: a crash forgets the newest, and nobody
-- has seen those. The newest 100,000 are kept; '@events_forgotten' in meta is the last that is gone.
CREATE TABLE event (
    seq     INTEGER NOT NULL,      -- newest commit when it happened; 0: none yet
    place   INTEGER NOT NULL,      -- order among those of one seq, from 1, with gaps
    time_ns INTEGER NOT NULL,
    kind    TEXT NOT NULL,         -- docs/events.md lists them
    agent   ANY NOT NULL,          -- '' if of nobody
    fields  TEXT NOT NULL,         -- JSON object, ASCII; never the body of a message
    PRIMARY KEY (seq, place)
) STRICT, WITHOUT ROWID;

-- Messages (K1). Ids are never used again: '@message' in meta has the newest given out, and its time.
CREATE TABLE message (
    id           INTEGER PRIMARY KEY,
    time_ns      INTEGER NOT NULL,
    sender       TEXT NOT NULL,    -- an agent, or 'makfs': a person
    recipients   TEXT NOT NULL,    -- JSON list of agents, as it was sent
    priority     INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 2), -- 0 low, 1 normal, 2 high
    re           INTEGER NOT NULL, -- id of the message that this one answers, 0: none
    answer_by_ns INTEGER NOT NULL, -- until when somebody waits for an answer, 0: nobody does
    body         BLOB NOT NULL     -- UTF-8
) STRICT;

-- To whom a message went, and who has acknowledged it.
CREATE TABLE delivery (
    message         INTEGER NOT NULL REFERENCES message,
    agent           TEXT NOT NULL,
    acknowledged_ns INTEGER NOT NULL, -- 0: not yet, and the message is in the agent's inbox
    PRIMARY KEY (message, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_unread ON delivery (agent, message) WHERE acknowledged_ns = 0;

-- Artifacts shared by name: the newest versions of each.
CREATE TABLE artifact (
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,   -- 1, 2, 3 ... of one name
    agent      TEXT NOT NULL,      -- who shared it
    time_ns    INTEGER NOT NULL,
    hash       BLOB NOT NULL,      -- of `bytes`; two versions that follow each other differ
    size_bytes INTEGER NOT NULL,
    bytes      BLOB NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

-- Names that people gave to commits (J7).
CREATE TABLE mark (
    name    TEXT PRIMARY KEY NOT NULL,
    seq     INTEGER NOT NULL,      -- a row of journal, or 0
    time_ns INTEGER NOT NULL       -- when it was set
) STRICT, WITHOUT ROWID;

-- Small settings. The store's own begin with '@': '@lock_fence' and '@lock_ticket' are the newest numbers
-- given out, of locks that are over too; missing before the first lock.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

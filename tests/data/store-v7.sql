-- The store of version 7, with a task.
-- Made by makfs 0.1 and dumped with sqlite3's iterdump; never edited.
PRAGMA application_id = 1835101030;
PRAGMA user_version = 7;
BEGIN TRANSACTION;
CREATE TABLE artifact (
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            agent TEXT NOT NULL,
            time_ns INTEGER NOT NULL,
            hash BLOB NOT NULL,
            size_bytes INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            PRIMARY KEY (name, version)
        ) STRICT;
INSERT INTO "artifact" VALUES('notes',1,'alice',1700000000000000000,X'CF4AB791C62B8D2B2109C90275287816',3,X'616263');
CREATE TABLE delivery (
            message INTEGER NOT NULL REFERENCES message,
            agent TEXT NOT NULL,
            acknowledged_ns INTEGER NOT NULL,
            PRIMARY KEY (message, agent)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "delivery" VALUES(1,'bob',0);
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
INSERT INTO "edit" VALUES(1,0,1,2,'edit','func','pkg/a.py::y','',2,3);
CREATE TABLE effect (
    id          INTEGER PRIMARY KEY, -- grows; not reused while a process holds the store
    seq         INTEGER NOT NULL REFERENCES journal,
    path        INTEGER NOT NULL REFERENCES path,
    before_hash BLOB NOT NULL      -- content hash the backing file had; x'' if absent or not a file
) STRICT;
INSERT INTO "effect" VALUES(3,3,1,X'DB6105A751461928C0B6C6C8DD03BF04');
INSERT INTO "effect" VALUES(4,3,3,X'');
CREATE TABLE event (
            seq INTEGER NOT NULL,
            place INTEGER NOT NULL,
            time_ns INTEGER NOT NULL,
            kind TEXT NOT NULL,
            agent ANY NOT NULL,
            fields TEXT NOT NULL,
            PRIMARY KEY (seq, place)
        ) STRICT, WITHOUT ROWID;
INSERT INTO "event" VALUES(3,1,1700000000000000000,'agent-added','alice','{}');
CREATE TABLE inode_exception (
    path    ANY PRIMARY KEY NOT NULL, -- the whole path
    file_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "inode_exception" VALUES('pkg/a.py',7);
CREATE TABLE journal (
    seq           INTEGER PRIMARY KEY,
    agent         TEXT NOT NULL,
    time_ns       INTEGER NOT NULL,
    program       ANY NOT NULL,    -- '' if unknown
    pid           INTEGER NOT NULL, -- 0 if unknown
    note          ANY NOT NULL,    -- for people, often ''
    nodes_changed INTEGER NOT NULL, -- rows this commit has in `edit`
    last_node     INTEGER NOT NULL, -- highest node uid used up to and with this commit
    last_file     INTEGER NOT NULL  -- highest file uid likewise; no uid is ever used for two things
, task ANY NOT NULL DEFAULT '') STRICT;
INSERT INTO "journal" VALUES(1,'alice',1700000000000000000,'vim',4242,'first',1,2,1,'');
INSERT INTO "journal" VALUES(2,'bob',1700000000000000000,X'70FF',4242,'second',0,3,2,'mend the tests');
INSERT INTO "journal" VALUES(3,'alice',1700000000000000000,'vim',4242,'rename',0,3,2,'');
CREATE TABLE lock_event (
            number INTEGER PRIMARY KEY,
            now_ns INTEGER NOT NULL,
            call TEXT NOT NULL,
            agent ANY NOT NULL,
            arguments TEXT NOT NULL,
            outcome ANY NOT NULL
        ) STRICT
    ;
INSERT INTO "lock_event" VALUES(1,5,'start','','{"rows":[0,0,[],[]]}','');
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
INSERT INTO "lock_grant" VALUES('alice','pkg/a.py::f','X',2,3000000000,300000000000,303000000000,1);
INSERT INTO "lock_grant" VALUES('alice',X'706B672F636166E9','S',2,3000000000,300000000000,303000000000,1);
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
INSERT INTO "lock_waiter" VALUES(3,'pkg/a.py','bob','S',4000000000,19000000000,300000000000,1,1,1);
INSERT INTO "lock_waiter" VALUES(3,X'706B672F636166E9','bob','X',4000000000,19000000000,300000000000,1,1,0);
CREATE TABLE mark (
            name TEXT PRIMARY KEY NOT NULL,
            seq INTEGER NOT NULL,
            time_ns INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "mark" VALUES('release-1',2,1700000000000000009);
CREATE TABLE message (
            id INTEGER PRIMARY KEY,
            time_ns INTEGER NOT NULL,
            sender TEXT NOT NULL,
            recipients TEXT NOT NULL,
            priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 2),
            re INTEGER NOT NULL,
            answer_by_ns INTEGER NOT NULL,
            body BLOB NOT NULL
        ) STRICT;
INSERT INTO "message" VALUES(1,1700000000000000000,'alice','["bob"]',1,0,0,X'706C65617365206C65617665207061727365282920616C6F6E650A');
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('@lock_fence','2');
INSERT INTO "meta" VALUES('@lock_ticket','3');
INSERT INTO "meta" VALUES('@message','1');
INSERT INTO "meta" VALUES('isolation','live');
INSERT INTO "meta" VALUES('task:bob','mend the tests');
CREATE TABLE path (
    id     INTEGER PRIMARY KEY,
    folder ANY NOT NULL,           -- '' for entries of the root
    name   ANY NOT NULL,           -- no '/', never empty; only the root itself has folder '' and name ''
    UNIQUE (folder, name)          -- serves children(), below(), and every lookup of a path
) STRICT;
INSERT INTO "path" VALUES(1,'pkg','a.py');
INSERT INTO "path" VALUES(2,'pkg',X'636166E9');
INSERT INTO "path" VALUES(3,'pkg','b.py');
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
    base      BLOB                 -- zlib; NULL: unknown or not text
, is_whole INTEGER NOT NULL DEFAULT 1) STRICT;
INSERT INTO "refusal" VALUES(1,1,'alice','pkg/a.py','vim',7,'Bob holds it.',1,2,'["pkg/a.py::f"]',X'789CAB50B05530E60200053A0133',X'789CAB50B05530E4020005360131',1);
INSERT INTO "refusal" VALUES(2,1,'alice','pkg/a.py','vim',7,'Bob holds it.',1,2,'["pkg/a.py::f"]',X'789CAB50B05530E60200053A0133',X'789CAB50B05530E4020005360131',0);
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
INSERT INTO "revision" VALUES(1,0,0,1,1,420,X'0448415E99F5D59186EF3C9D46A93819',12,X'',X'0102020202',NULL,0);
INSERT INTO "revision" VALUES(1,1,0,1,1,420,X'DB6105A751461928C0B6C6C8DD03BF04',12,X'',X'01020202010201',NULL,0);
INSERT INTO "revision" VALUES(1,3,0,1,0,0,X'',0,X'',NULL,NULL,0);
INSERT INTO "revision" VALUES(2,0,0,0,0,0,X'',0,X'',NULL,NULL,0);
INSERT INTO "revision" VALUES(2,2,0,2,1,420,X'2EE40AA431BEA6C845CCABDD48B7F986',1200,X'',X'0106010801',NULL,1);
INSERT INTO "revision" VALUES(3,0,0,0,0,0,X'',0,X'',NULL,NULL,0);
INSERT INTO "revision" VALUES(3,3,1,1,1,420,X'DB6105A751461928C0B6C6C8DD03BF04',12,X'',X'01020202010201',1,0);
CREATE TABLE text (
    id         INTEGER PRIMARY KEY, -- in order of arrival, so that a new file's texts are neighbours
    hash       BLOB NOT NULL UNIQUE, -- of the text itself, not of what is kept
    size_bytes INTEGER NOT NULL,   -- of the text itself
    codec      INTEGER NOT NULL CHECK (codec IN (0, 1)), -- 0: `bytes` is the text; 1: zlib of the text
    bytes      BLOB NOT NULL
) STRICT;
INSERT INTO "text" VALUES(1,X'1DE70BC15D424D4453E6C531451E490B',6,0,X'78203D20310A');
INSERT INTO "text" VALUES(2,X'0B1E31B623001A3C1EC978226A2DACB1',6,0,X'79203D20310A');
INSERT INTO "text" VALUES(3,X'4753F217A055076D18964D1544D206FE',6,0,X'79203D20320A');
INSERT INTO "text" VALUES(4,X'2EE40AA431BEA6C845CCABDD48B7F986',1200,1,X'78014B494D5348D348D45148D2B4E2520082A2D492D2A23C8544056D8524AE9451D9D1D0184D1BA37961D0940C002BB238B8');
CREATE TABLE view (
    number INTEGER PRIMARY KEY,    -- from 1
    agent  TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "view" VALUES(1,'alice');
INSERT INTO "view" VALUES(2,'bob');
CREATE INDEX journal_by_agent ON journal (agent, seq);
CREATE INDEX revision_by_seq ON revision (seq) WHERE seq > 0;
CREATE INDEX revision_by_hash ON revision (content_hash) WHERE nodes IS NOT NULL;
CREATE INDEX edit_by_node ON edit (uid, seq);
CREATE INDEX refusal_by_agent ON refusal (agent, number);
CREATE INDEX journal_by_program ON journal (program, seq);
CREATE INDEX journal_by_time ON journal (time_ns, seq);
CREATE INDEX delivery_unread ON delivery (agent, message) WHERE acknowledged_ns = 0;
CREATE INDEX journal_by_task ON journal (task, seq) WHERE task <> '';
COMMIT;

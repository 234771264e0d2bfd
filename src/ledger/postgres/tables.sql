-- The tables of version 1: those of the SQLite ledger, which say what each column means. Nobody but their owner may touch
-- them: everyone else reads the views and calls the functions. Instants are microseconds since 1970 UTC.

CREATE TABLE kept_incidents (
    no   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE kept_attempts (
    incident    bigint NOT NULL REFERENCES kept_incidents,
    attempt     bigint NOT NULL,
    restored_to bigint,
    PRIMARY KEY (incident, attempt)
);

CREATE TABLE kept_cases (
    no         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident   bigint NOT NULL REFERENCES kept_incidents,
    id         text NOT NULL COLLATE "C",
    place      bytea NOT NULL,
    state      text NOT NULL CHECK (state IN ('open', 'to_do', 'applied', 'unconfirmed', 'parked', 'escalated', 'proven', 'gone')),
    kinds      bigint NOT NULL,
    label      text NOT NULL,
    action     text NOT NULL,
    show       text NOT NULL,
    dies_at    bigint,
    waits      bigint NOT NULL,
    waited_for bigint NOT NULL DEFAULT 0,
    verb       text,
    disproven  boolean NOT NULL DEFAULT false,
    decision   text,
    digest     bytea NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX case_id     ON kept_cases (incident, id);
CREATE INDEX        case_place  ON kept_cases (incident, place, no);
CREATE INDEX        case_state  ON kept_cases (incident, state, kinds);
CREATE INDEX        case_label  ON kept_cases (incident, label);
CREATE INDEX        case_waited ON kept_cases (incident) WHERE waited_for > 0;

CREATE TABLE kept_found (
    no      bigint PRIMARY KEY REFERENCES kept_cases,
    body    bytea NOT NULL,
    opening bytea
);
-- It is packed already.
ALTER TABLE kept_found ALTER body SET STORAGE EXTERNAL, ALTER opening SET STORAGE EXTERNAL;

CREATE TABLE kept_waits (
    no       bigint NOT NULL REFERENCES kept_cases,
    nth      bigint NOT NULL,
    incident bigint NOT NULL,
    for_id   text NOT NULL COLLATE "C",
    PRIMARY KEY (no, nth)
);
CREATE INDEX waits_for ON kept_waits (incident, for_id);

-- A row stays after its lease ended: the fence must outlive it. `taken_from` lost it to the holder by a takeover.
CREATE TABLE kept_claims (
    no         bigint PRIMARY KEY REFERENCES kept_cases,
    by         text NOT NULL,
    until      bigint NOT NULL,
    fence      bigint NOT NULL,
    taken_from text,
    taken_at   bigint,
    taken_why  text
) WITH (fillfactor = 50);
CREATE INDEX claim_until ON kept_claims (until);

CREATE TABLE kept_decisions (
    key       text PRIMARY KEY,
    incident  bigint NOT NULL REFERENCES kept_incidents,
    attempt   bigint NOT NULL,
    digest    bytea NOT NULL,
    verb      text NOT NULL,
    reason    text NOT NULL,
    by        text NOT NULL,
    at        bigint NOT NULL,
    reference text,
    target    text,
    evidence  text,
    until     bigint,
    result    text NOT NULL
);

CREATE TABLE kept_decided (
    key      text NOT NULL REFERENCES kept_decisions,
    no       bigint NOT NULL REFERENCES kept_cases,
    findings text NOT NULL,
    steps    text NOT NULL,
    assignee text,
    wanted   text,
    evidence text,
    held     boolean,
    read     text,
    PRIMARY KEY (key, no)
);
CREATE INDEX decided_case ON kept_decided (no);

CREATE TABLE kept_effects (
    key          text PRIMARY KEY,
    incident     bigint NOT NULL REFERENCES kept_incidents,
    attempt      bigint NOT NULL,
    of           text NOT NULL REFERENCES kept_decisions,
    does         text NOT NULL CHECK (does IN ('sql', 'kafka', 'http')),
    cases        text NOT NULL,
    plan         text NOT NULL,
    leaves_at    bigint NOT NULL,
    state        text NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'unknown', 'cancelled')),
    leased_until bigint,
    ended_at     bigint,
    outcome      text
);
CREATE INDEX effect_of      ON kept_effects (of);
CREATE INDEX effect_pending ON kept_effects (incident) WHERE state IN ('queued', 'running', 'unknown');

CREATE TABLE kept_notes (
    n    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    no   bigint NOT NULL REFERENCES kept_cases,
    at   bigint NOT NULL,
    by   text NOT NULL,
    text text NOT NULL
);
CREATE INDEX note_case ON kept_notes (no);

CREATE TABLE kept_rejects (
    n        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident bigint NOT NULL REFERENCES kept_incidents,
    source   text NOT NULL,
    position text NOT NULL,
    reason   text NOT NULL,
    excerpt  text NOT NULL
);
CREATE INDEX reject_incident ON kept_rejects (incident);

CREATE TABLE kept_scans (
    no       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident bigint NOT NULL REFERENCES kept_incidents,
    attempt  bigint NOT NULL,
    at       bigint NOT NULL,
    by       text NOT NULL,
    report   text NOT NULL
);
CREATE INDEX scan_incident ON kept_scans (incident, no);

CREATE TABLE kept_openings (
    incident bigint NOT NULL REFERENCES kept_incidents,
    attempt  bigint NOT NULL,
    at       bigint NOT NULL,
    place    text NOT NULL,
    timeline bigint,
    in_doubt bytea NOT NULL,
    PRIMARY KEY (incident, attempt)
);

CREATE TABLE kept_opening_rows (
    incident bigint NOT NULL,
    attempt  bigint NOT NULL,
    entity   text NOT NULL,
    nth      bigint NOT NULL,
    columns  text NOT NULL,
    whole    boolean NOT NULL,
    body     bytea NOT NULL,
    PRIMARY KEY (incident, attempt, entity, nth)
);

CREATE TABLE kept_ignores (
    incident bigint NOT NULL REFERENCES kept_incidents,
    entity   text NOT NULL,
    name     text NOT NULL,
    reason   text NOT NULL,
    by       text NOT NULL,
    at       bigint NOT NULL,
    PRIMARY KEY (incident, entity, name)
);

CREATE TABLE kept_phases (
    incident  bigint NOT NULL REFERENCES kept_incidents,
    phase     text NOT NULL,
    state     text NOT NULL,
    since     bigint,
    took      bigint,
    evidence  text NOT NULL,
    per_mille bigint,
    PRIMARY KEY (incident, phase)
);

CREATE TABLE kept_facts (
    incident bigint NOT NULL REFERENCES kept_incidents,
    name     text NOT NULL,
    value    text NOT NULL,
    PRIMARY KEY (incident, name)
);

CREATE TABLE kept_audit (
    incident    bigint NOT NULL,
    seq         bigint NOT NULL,
    at          bigint NOT NULL,
    who         text NOT NULL,
    system_user text NOT NULL,
    ssh         text,
    action      text NOT NULL,
    case_id     text,
    verb        text,
    key         text,
    outcome     text NOT NULL,
    why         text,
    hash        text NOT NULL,
    PRIMARY KEY (incident, seq)
);

CREATE TABLE kept_heads (
    incident bigint PRIMARY KEY,
    seq      bigint NOT NULL,
    hash     text NOT NULL
);

-- Which deeds there are, who may do them, and what it takes a lead for.
CREATE TABLE kept_published (
    name    text PRIMARY KEY,
    role    text NOT NULL,
    purpose text NOT NULL
);

-- What a call with this key was answered: the same call again, after its answer was lost, is answered the same.
CREATE TABLE kept_answers (
    call   text PRIMARY KEY,
    asked  bytea NOT NULL,
    at     bigint NOT NULL,
    answer jsonb NOT NULL
);
CREATE INDEX answer_at ON kept_answers (at);

-- Who looks at which case: one row a console, gone when nobody heard of it for a while.
CREATE UNLOGGED TABLE kept_lookers (
    console  text PRIMARY KEY,
    incident bigint NOT NULL,
    login    text NOT NULL,
    case_id  text,
    at       bigint NOT NULL
);

-- What a scan found, piece by piece, until it is taken in as a whole.
CREATE UNLOGGED TABLE kept_staged (
    scan    text NOT NULL,
    piece   bigint NOT NULL,
    id      text NOT NULL COLLATE "C",
    place   bytea,
    kinds   bigint,
    label   text,
    action  text,
    show    text,
    dies_at bigint,
    waits   jsonb,
    digest  bytea,
    body    bytea,             -- NULL: found as it was known
    since   boolean NOT NULL DEFAULT false, -- rows of it moved since the opening
    opens   text,              -- it opens again if this is still its decision
    by      text NOT NULL,
    at      bigint NOT NULL,
    -- The case as it is when the scan is taken in; NULL where it is new.
    no      bigint,
    was     text,
    decided text,
    changed boolean,
    reopens boolean,
    PRIMARY KEY (scan, id)
);
CREATE INDEX staged_piece ON kept_staged (scan, piece);

CREATE UNLOGGED TABLE kept_staged_rows (
    scan    text NOT NULL,
    piece   bigint NOT NULL,
    entity  text NOT NULL,
    columns text NOT NULL,
    whole   boolean NOT NULL,
    body    bytea NOT NULL,
    by      text NOT NULL,
    at      bigint NOT NULL,
    PRIMARY KEY (scan, piece)
);

-- What people sign: decisions and bulks that wait for another person, hand-overs, the end.
CREATE TABLE kept_papers (
    no          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident    bigint NOT NULL REFERENCES kept_incidents,
    key         text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('decision', 'bulk', 'handover', 'signoff')),
    case_id     text,
    digest      text NOT NULL,
    content     text NOT NULL,
    by          text NOT NULL,
    at          bigint NOT NULL,
    for_whom    text,
    state       text NOT NULL CHECK (state IN ('waits', 'signed', 'declined', 'withdrawn')),
    answered_by text CHECK (answered_by <> by OR state = 'withdrawn'),
    answered_at bigint,
    answer      text,
    UNIQUE (incident, key)
);
CREATE INDEX paper_case ON kept_papers (incident, case_id) WHERE state = 'waits';

-- The same decision for many cases, and the frozen set.
CREATE TABLE kept_bulks (
    no       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident bigint NOT NULL REFERENCES kept_incidents,
    id       text NOT NULL,
    ask      text NOT NULL,
    scope    text NOT NULL,
    by       text NOT NULL,
    at       bigint NOT NULL,
    excluded text NOT NULL,
    stopped  text,
    UNIQUE (incident, id)
);
CREATE TABLE kept_bulk_items (
    bulk  bigint NOT NULL REFERENCES kept_bulks,
    nth   bigint NOT NULL,
    id    text NOT NULL,
    seen  text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed', 'skipped')),
    why   text,
    PRIMARY KEY (bulk, nth)
);

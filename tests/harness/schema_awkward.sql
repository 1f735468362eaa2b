-- Awkward everything: each object here has broken some migration. Plain SQL in one go (no psql commands); runs on
-- PostgreSQL 13 and later as the database's owner, with contrib present. Data and changes: awkward.py.
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE SCHEMA awk;
COMMENT ON SCHEMA awk IS 'awkward; it''s all here: "quotes", \backslashes\ and é';
CREATE SCHEMA "Sch.é ""q""";

-- types ------------------------------------------------------------------------------------------------------------
CREATE DOMAIN awk.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN awk.label AS text COLLATE "C" NOT NULL DEFAULT 'none' CONSTRAINT label_short CHECK (length(VALUE) < 100);
CREATE DOMAIN awk.positives AS awk.positive[];
CREATE TYPE awk.mood AS ENUM ('sad', 'ok', 'happy', 'it''s "é"', '');
ALTER TYPE awk.mood ADD VALUE 'between' BEFORE 'ok';
CREATE TYPE awk.pair AS (a int, b text);
CREATE TYPE awk.nested AS (p awk.pair, ps awk.pair[], m awk.mood, "Odd name" numeric);
CREATE TYPE awk.floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE "Sch.é ""q"""."Type.é" AS ENUM ('α', 'β');
COMMENT ON TYPE awk.mood IS 'how it feels';
CREATE COLLATION awk.posix FROM "C";

CREATE FUNCTION awk.add_one(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i + 1';
CREATE FUNCTION awk.slug(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN RETURN lower(replace(t, ' ', '-')); END $f$;
CREATE AGGREGATE awk.concat_all(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
CREATE PROCEDURE awk.nothing() LANGUAGE plpgsql AS $p$ BEGIN NULL; END $p$;

-- every scalar type -------------------------------------------------------------------------------------------------
CREATE TABLE awk.types (
    id bigint PRIMARY KEY,
    c_int2 smallint, c_int4 integer, c_int8 bigint, c_bool boolean, c_float4 real, c_float8 double precision,
    c_numeric numeric, c_numeric_ps numeric(20, 5), c_money money,
    c_text text, c_varchar varchar(40), c_char char(10), c_chr "char", c_name name, c_citext citext,
    c_bytea bytea, c_bit bit(11), c_varbit varbit,
    c_date date, c_time time, c_timetz timetz, c_ts timestamp, c_tstz timestamptz, c_ts0 timestamp(0), c_interval interval,
    c_uuid uuid, c_json json, c_jsonb jsonb, c_jsonpath jsonpath, c_xml xml, c_hstore hstore,
    c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
    c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle,
    c_tsvector tsvector, c_tsquery tsquery, c_oid oid, c_regclass regclass, c_regtype regtype, c_regproc regproc, c_regrole regrole,
    c_pg_lsn pg_lsn, c_xid xid, c_tid tid, c_snapshot txid_snapshot,
    c_positive awk.positive, c_label awk.label, c_mood awk.mood, c_pair awk.pair, c_nested awk.nested, c_odd "Sch.é ""q"""."Type.é",
    c_int4range int4range, c_numrange numrange, c_tsrange tsrange, c_tstzrange tstzrange, c_daterange daterange, c_floatrange awk.floatrange,
    a_int int[], a_text text[], a_text2 text[][], a_numeric numeric[], a_bytea bytea[], a_mood awk.mood[], a_pair awk.pair[], a_jsonb jsonb[],
    a_positive awk.positives, a_box box[], a_tstz timestamptz[]
);
COMMENT ON TABLE awk.types IS 'each type; NULLs and extremes';
COMMENT ON COLUMN awk.types.c_money IS 'depends on lc_monetary';
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 140000 THEN
        EXECUTE 'ALTER TABLE awk.types ADD COLUMN c_multirange int4multirange, ADD COLUMN a_multirange datemultirange[]';
    END IF;
END $$;

-- keys of every kind ------------------------------------------------------------------------------------------------
CREATE TABLE awk.key_text (k text PRIMARY KEY, v text);
CREATE TABLE awk.key_collated (k text COLLATE "C" PRIMARY KEY, v text);
CREATE TABLE awk.key_composite (a int, b text, c timestamptz, v text, PRIMARY KEY (c, a, b));
CREATE TABLE awk.key_uuid (k uuid PRIMARY KEY, v text);
CREATE TABLE awk.key_numeric (k numeric PRIMARY KEY, v text);
CREATE TABLE awk.key_float (k float8 PRIMARY KEY, v text);
CREATE TABLE awk.key_bytea (k bytea PRIMARY KEY, v text);
CREATE TABLE awk.key_enum (k awk.mood PRIMARY KEY, v text);
CREATE TABLE awk.key_domain (k awk.positive PRIMARY KEY, v text);
CREATE TABLE awk.key_sparse (k bigint PRIMARY KEY, v text);           -- a few at each end of the range
CREATE TABLE awk.key_citext (k citext PRIMARY KEY, v text);
CREATE TABLE awk.key_deferred (k int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text UNIQUE DEFERRABLE);
CREATE TABLE awk.key_include (k int, extra text, v text, PRIMARY KEY (k) INCLUDE (extra));
CREATE TABLE awk.key_late (v text, pad int, k int PRIMARY KEY);       -- key is the last column
CREATE TABLE awk.key_only (a int, b int, PRIMARY KEY (a, b));         -- nothing but the key

CREATE TABLE awk.nokey (a int, b text);
CREATE TABLE awk.nokey_full (a int, b text, c numeric);
ALTER TABLE awk.nokey_full REPLICA IDENTITY FULL;
CREATE TABLE awk.full_with_key (id int PRIMARY KEY, a text, big text);
ALTER TABLE awk.full_with_key REPLICA IDENTITY FULL;
CREATE TABLE awk.identity_index (code text NOT NULL, region int NOT NULL, v text);
CREATE UNIQUE INDEX identity_index_code ON awk.identity_index (region, code);
ALTER TABLE awk.identity_index REPLICA IDENTITY USING INDEX identity_index_code;
CREATE TABLE awk.unique_nulls (id int PRIMARY KEY, u int UNIQUE, p int, q text, UNIQUE (p, q));
CREATE TABLE awk.unique_only (u int UNIQUE, v text);                   -- a nullable unique column is no key
ALTER TABLE awk.unique_only REPLICA IDENTITY FULL;
CREATE TABLE awk.nothing ();
CREATE TABLE awk.empty (id int PRIMARY KEY, v text);
CREATE UNLOGGED TABLE awk.unlogged (id int PRIMARY KEY, v text);

CREATE TABLE awk.swap (id int PRIMARY KEY, place int NOT NULL UNIQUE, v text);
CREATE TABLE awk.excluded (id int PRIMARY KEY, room int, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
CREATE UNIQUE INDEX swap_expression ON awk.swap ((place * 10)) WHERE v IS NOT NULL;

-- columns of every kind ---------------------------------------------------------------------------------------------
CREATE TABLE awk.generated (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    twice int GENERATED ALWAYS AS (base * 2) STORED,
    base int,
    slug text GENERATED ALWAYS AS (awk.slug(title)) STORED,
    title text
);
CREATE TABLE awk.identities (id bigint GENERATED BY DEFAULT AS IDENTITY (START 1000 INCREMENT 7) PRIMARY KEY, v text, s serial, d int DEFAULT awk.add_one(41));
CREATE TABLE awk.dropped (gone1 text, id int PRIMARY KEY, gone2 int, v text, gone3 numeric, w text DEFAULT 'w');
ALTER TABLE awk.dropped DROP COLUMN gone1, DROP COLUMN gone2, DROP COLUMN gone3;
ALTER TABLE awk.dropped ADD COLUMN later int DEFAULT 7;
CREATE TABLE "Sch.é ""q"""."Tab.lé ""x"" \n" ("Id" int PRIMARY KEY, "sp ace" text, "quo""te" text, "back\slash" text, "ünï.cödé" text, "select" text, " " "Sch.é ""q"""."Type.é");
CREATE INDEX "Ind.ex é""" ON "Sch.é ""q"""."Tab.lé ""x"" \n" ("ünï.cödé");
CREATE TABLE awk."MixedCase" ("CamelKey" int PRIMARY KEY, "user" text);
CREATE TABLE awk.toast (id int PRIMARY KEY, small text, big text, external text, raw bytea);
ALTER TABLE awk.toast ALTER COLUMN external SET STORAGE EXTERNAL, ALTER COLUMN raw SET STORAGE EXTERNAL;
CREATE TABLE awk.toast_moving (id int PRIMARY KEY, counter int, big text);  -- its key changes while big does not
DO $$ BEGIN
    EXECUTE 'CREATE TABLE awk.wide (c1 int PRIMARY KEY, ' || (SELECT string_agg('c' || i || CASE i % 3 WHEN 0 THEN ' int' WHEN 1 THEN ' text' ELSE ' bool' END, ', ' ORDER BY i) FROM generate_series(2, 1600) i) || ')';
END $$;

-- partitions and inheritance ----------------------------------------------------------------------------------------
CREATE TABLE awk.part_list (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE awk.part_list_eu PARTITION OF awk.part_list FOR VALUES IN ('eu', 'uk');
CREATE TABLE awk.part_list_us PARTITION OF awk.part_list FOR VALUES IN ('us');
CREATE TABLE awk.part_list_rest PARTITION OF awk.part_list DEFAULT;
CREATE TABLE awk.part_range (id bigint, at timestamptz NOT NULL, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE awk.part_range_old PARTITION OF awk.part_range FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE awk.part_range_2020 PARTITION OF awk.part_range FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY HASH (id);
CREATE TABLE awk.part_range_2020_h0 PARTITION OF awk.part_range_2020 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE awk.part_range_2020_h1 PARTITION OF awk.part_range_2020 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE awk.part_range_new (v text, at timestamptz NOT NULL, junk int, id bigint NOT NULL);  -- other column order, a dropped column
ALTER TABLE awk.part_range_new DROP COLUMN junk;
ALTER TABLE awk.part_range ATTACH PARTITION awk.part_range_new FOR VALUES FROM ('2021-01-01') TO (MAXVALUE);
CREATE TABLE awk.part_empty (id int) PARTITION BY LIST (id);          -- no partitions at all
CREATE INDEX part_range_v ON awk.part_range (v);
CREATE TABLE awk.parent (id int PRIMARY KEY, v text);
CREATE TABLE awk.child (extra text, PRIMARY KEY (id)) INHERITS (awk.parent);
CREATE TABLE awk.grandchild (more int, PRIMARY KEY (id)) INHERITS (awk.child);

-- references --------------------------------------------------------------------------------------------------------
CREATE TABLE awk.tree (id int PRIMARY KEY, up int REFERENCES awk.tree ON DELETE CASCADE, v text);
CREATE TABLE awk.cycle_a (id int PRIMARY KEY, b int);
CREATE TABLE awk.cycle_b (id int PRIMARY KEY, a int REFERENCES awk.cycle_a DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE awk.cycle_a ADD FOREIGN KEY (b) REFERENCES awk.cycle_b DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE awk.cascade_top (id int PRIMARY KEY, v text);
CREATE TABLE awk.cascade_mid (id int PRIMARY KEY, top int REFERENCES awk.cascade_top ON DELETE CASCADE ON UPDATE CASCADE, v text);
CREATE TABLE awk.cascade_low (id int PRIMARY KEY, mid int REFERENCES awk.cascade_mid ON DELETE SET NULL, v text);
CREATE TABLE awk.not_valid (id int PRIMARY KEY, top int);
CREATE TABLE awk.part_ref (id int PRIMARY KEY, list_id int, region text, FOREIGN KEY (list_id, region) REFERENCES awk.part_list ON DELETE CASCADE);

-- triggers, rules, views --------------------------------------------------------------------------------------------
CREATE TABLE awk.audited (id int PRIMARY KEY, v text, touched int NOT NULL DEFAULT 0);
CREATE TABLE awk.audit (entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, op text, id int, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION awk.audit() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
    INSERT INTO awk.audit (op, id) VALUES (TG_OP, coalesce(NEW.id, OLD.id));
    RETURN NULL;
END $f$;
CREATE FUNCTION awk.touch() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END $f$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON awk.audited FOR EACH ROW EXECUTE FUNCTION awk.audit();
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON awk.audited FOR EACH ROW EXECUTE FUNCTION awk.touch();
CREATE TABLE awk.trigger_kinds (id int PRIMARY KEY, v text);
CREATE TRIGGER disabled BEFORE INSERT ON awk.trigger_kinds FOR EACH ROW EXECUTE FUNCTION awk.touch();
ALTER TABLE awk.trigger_kinds DISABLE TRIGGER disabled;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON awk.audited DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.v = 'never') EXECUTE FUNCTION awk.audit();
CREATE TABLE awk.ruled (id int PRIMARY KEY, v text);
CREATE TABLE awk.ruled_log (id int, v text);
ALTER TABLE awk.ruled_log REPLICA IDENTITY FULL;
CREATE RULE ruled_copy AS ON INSERT TO awk.ruled DO ALSO INSERT INTO awk.ruled_log VALUES (NEW.id, NEW.v);
CREATE VIEW awk.view AS SELECT t.id, t.v, a.v AS other FROM awk.ruled t LEFT JOIN awk.audited a USING (id) WHERE t.id > 0;
CREATE VIEW awk.view_of_view WITH (security_barrier) AS SELECT * FROM awk.view;
CREATE MATERIALIZED VIEW awk.matview AS SELECT count(*) AS n, max(id) AS top FROM awk.types;
CREATE UNIQUE INDEX matview_n ON awk.matview (n);
CREATE MATERIALIZED VIEW awk.matview_empty AS SELECT id FROM awk.view_of_view WITH NO DATA;
CREATE STATISTICS awk.stats (dependencies) ON a, b FROM awk.key_composite;

-- row security ------------------------------------------------------------------------------------------------------
CREATE TABLE awk.secured (id int PRIMARY KEY, owner name NOT NULL DEFAULT current_user, v text);
ALTER TABLE awk.secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON awk.secured USING (owner = current_user) WITH CHECK (true);
CREATE TABLE awk.secured_forced (id int PRIMARY KEY, v text);
ALTER TABLE awk.secured_forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY anything ON awk.secured_forced USING (true) WITH CHECK (true);

-- sequences ---------------------------------------------------------------------------------------------------------
CREATE SEQUENCE awk.seq_free START 100 INCREMENT 5 CACHE 10;
CREATE SEQUENCE awk.seq_down INCREMENT -1 MINVALUE -1000000 START -1;
CREATE SEQUENCE awk.seq_cycle MINVALUE 1 MAXVALUE 7 CYCLE;
CREATE SEQUENCE awk.seq_small AS smallint;
CREATE SEQUENCE awk.seq_untouched START 42;
CREATE SEQUENCE "Sch.é ""q"""."Seq.é";
CREATE TABLE awk.seq_owner (id int PRIMARY KEY, n int DEFAULT nextval('awk.seq_free'));
CREATE SEQUENCE awk.seq_owned OWNED BY awk.seq_owner.n;

-- indexes of every kind ---------------------------------------------------------------------------------------------
CREATE INDEX types_gin ON awk.types USING gin (c_jsonb jsonb_path_ops);
CREATE INDEX types_trgm ON awk.types USING gin (left(c_text, 100) gin_trgm_ops);
CREATE INDEX types_gist ON awk.types USING gist (c_int4range);
CREATE INDEX types_brin ON awk.types USING brin (id) WITH (pages_per_range = 4);
CREATE INDEX types_hash ON awk.types USING hash (c_uuid);
CREATE INDEX types_expression ON awk.types (lower(left(c_varchar, 20)) DESC NULLS LAST) INCLUDE (c_bool) WHERE c_int4 IS NOT NULL;
CREATE INDEX types_tsv ON awk.types USING gin (c_tsvector);
COMMENT ON INDEX awk.types_gin IS 'an index''s comment';
CREATE UNIQUE INDEX key_text_lower ON awk.key_text (lower(k) text_pattern_ops);
CLUSTER awk.key_uuid USING key_uuid_pkey;
ALTER TABLE awk.key_text ALTER COLUMN v SET STATISTICS 500;
ALTER TABLE awk.toast SET (fillfactor = 70, autovacuum_enabled = true);
GRANT SELECT ON awk.key_text TO PUBLIC;
GRANT SELECT (k), UPDATE (v) ON awk.key_uuid TO PUBLIC;
GRANT USAGE ON SCHEMA awk TO PUBLIC;
REVOKE EXECUTE ON FUNCTION awk.add_one(int) FROM PUBLIC;

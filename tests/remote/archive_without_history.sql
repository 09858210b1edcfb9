CREATE TABLE survey_calibrations (
	id VARCHAR COLLATE "C" NOT NULL, 
	filename VARCHAR COLLATE "C" NOT NULL, 
	cal_type VARCHAR COLLATE "C" NOT NULL, 
	datetime_obs VARCHAR COLLATE "C" NOT NULL, 
	mjd_start FLOAT NOT NULL, 
	origin VARCHAR COLLATE "C" DEFAULT 'LOCAL' NOT NULL, 
	cal_version VARCHAR COLLATE "C" DEFAULT '001' NOT NULL, 
	quality VARCHAR COLLATE "C" DEFAULT 'UNKNOWN' NOT NULL, 
	master_cal BOOLEAN DEFAULT False NOT NULL, 
	checksum VARCHAR COLLATE "C", 
	file_size BIGINT, 
	last_updated VARCHAR COLLATE "C", 
	spectrograph VARCHAR COLLATE "C", 
	instrument_era VARCHAR COLLATE "C" DEFAULT '0.0.1' NOT NULL, 
	koa_id VARCHAR COLLATE "C", 
	koa_filepath VARCHAR COLLATE "C", 
	drp_version VARCHAR COLLATE "C", 
	last_processed VARCHAR COLLATE "C", 
	exptime FLOAT, 
	nframes INTEGER, 
	CONSTRAINT pk_survey_calibrations PRIMARY KEY (id), 
	CONSTRAINT uq_survey_calibrations_filename UNIQUE (filename)
);
CREATE INDEX ix_survey_calibrations_cal_type_mjd_start ON survey_calibrations (cal_type, mjd_start);
CREATE INDEX ix_survey_calibrations_datetime_obs_id ON survey_calibrations (datetime_obs, id);
ALTER TABLE "survey_calibrations" ADD CONSTRAINT koa_origin CHECK (("origin"::text COLLATE "C") IN ('LOCAL', 'REMOTE', 'KECK')) NOT VALID;
ALTER TABLE "survey_calibrations" VALIDATE CONSTRAINT koa_origin;
ALTER TABLE "survey_calibrations" ADD CONSTRAINT koa_cal_version CHECK ((("cal_version"::text COLLATE "C") ~ '^[0-9]{3}$' AND ("cal_version"::text COLLATE "C") <> '000')) NOT VALID;
ALTER TABLE "survey_calibrations" VALIDATE CONSTRAINT koa_cal_version;
ALTER TABLE "survey_calibrations" ADD CONSTRAINT koa_quality CHECK (("quality"::text COLLATE "C") IN ('GOOD', 'BAD', 'UNKNOWN')) NOT VALID;
ALTER TABLE "survey_calibrations" VALIDATE CONSTRAINT koa_quality;
CREATE TABLE "survey_calibrations_feed" (
    n bigint PRIMARY KEY, id text COLLATE "C", op text NOT NULL, at timestamptz NOT NULL,
    quality text, who text, why text, token uuid NOT NULL);
CREATE INDEX "ix_survey_calibrations_feed_resweep" ON "survey_calibrations_feed" (n) WHERE op = 'resweep';
CREATE INDEX "ix_survey_calibrations_feed_why" ON "survey_calibrations_feed" (n) WHERE why IS NOT NULL;
CREATE TABLE "survey_calibrations_feed_lock" (one boolean PRIMARY KEY DEFAULT true CHECK (one), xact xid8 NOT NULL);
INSERT INTO "survey_calibrations_feed_lock" VALUES (true, pg_current_xact_id());
CREATE OR REPLACE FUNCTION "survey_calibrations_stamp"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path=public, pg_temp SET enable_seqscan=off AS $body$
BEGIN
    NEW.last_updated := to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US');
    RETURN NEW;
END$body$;
REVOKE EXECUTE ON FUNCTION "survey_calibrations_stamp"() FROM PUBLIC;
CREATE TRIGGER koa_stamp BEFORE INSERT OR UPDATE ON "survey_calibrations" FOR EACH ROW EXECUTE FUNCTION "survey_calibrations_stamp"();
COMMENT ON TRIGGER koa_stamp ON "survey_calibrations" IS 'a4a8da4a1a96aed3';
ALTER TABLE "survey_calibrations" ENABLE ALWAYS TRIGGER koa_stamp;
CREATE OR REPLACE FUNCTION "survey_calibrations_feed"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path=public, pg_temp SET enable_seqscan=off AS $body$
DECLARE
    last record;
    judge text := coalesce(nullif(current_setting('koa.who', true), ''), session_user);
    reason text := nullif(current_setting('koa.why', true), '');
BEGIN
    PERFORM FROM "survey_calibrations_feed_lock" WHERE xact = pg_current_xact_id() AND xmin = pg_current_xact_id()::xid;
    IF NOT FOUND THEN
        UPDATE "survey_calibrations_feed_lock" SET xact = pg_current_xact_id();
        IF NOT FOUND THEN
            RAISE EXCEPTION 'survey_calibrations_feed_lock is empty; the owner of the archive mends it with: koa-cal remote init';
        END IF;
    END IF;
    SELECT n, at INTO last FROM "survey_calibrations_feed" ORDER BY n DESC LIMIT 1;
    IF TG_OP <> 'INSERT' AND OLD.id IS DISTINCT FROM NEW.id THEN
        INSERT INTO "survey_calibrations_feed" VALUES
            (coalesce(last.n, 0) + 1, OLD.id::text, 'withdrawn', greatest(clock_timestamp(), last.at + interval '1 microsecond'),
            NULL, judge, reason, gen_random_uuid())
            RETURNING n, at INTO last;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO "survey_calibrations_feed" VALUES
            (coalesce(last.n, 0) + 1, NEW.id::text,
            CASE WHEN OLD.id IS DISTINCT FROM NEW.id THEN 'added'
                WHEN reason IS NOT NULL OR OLD.quality IS DISTINCT FROM NEW.quality THEN 'flagged'
                ELSE 'changed' END,
            greatest(clock_timestamp(), last.at + interval '1 microsecond'), NEW.quality::text, judge, reason, gen_random_uuid());
    END IF;
    RETURN NULL;
END$body$;
REVOKE EXECUTE ON FUNCTION "survey_calibrations_feed"() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER koa_feed AFTER INSERT OR UPDATE OR DELETE ON "survey_calibrations" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "survey_calibrations_feed"();
COMMENT ON TRIGGER koa_feed ON "survey_calibrations" IS '88315b5c5d3be9fc';
ALTER TABLE "survey_calibrations" ENABLE ALWAYS TRIGGER koa_feed;
CREATE OR REPLACE FUNCTION "survey_calibrations_feed_truncate"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path=public, pg_temp SET enable_seqscan=off AS $body$
DECLARE
    last record;
    judge text := coalesce(nullif(current_setting('koa.who', true), ''), session_user);
    reason text := nullif(current_setting('koa.why', true), '');
    start timestamptz;
BEGIN
    PERFORM FROM "survey_calibrations_feed_lock" WHERE xact = pg_current_xact_id() AND xmin = pg_current_xact_id()::xid;
    IF NOT FOUND THEN
        UPDATE "survey_calibrations_feed_lock" SET xact = pg_current_xact_id();
        IF NOT FOUND THEN
            RAISE EXCEPTION 'survey_calibrations_feed_lock is empty; the owner of the archive mends it with: koa-cal remote init';
        END IF;
    END IF;
    SELECT n, at INTO last FROM "survey_calibrations_feed" ORDER BY n DESC LIMIT 1;
    start := greatest(clock_timestamp(), last.at);
    INSERT INTO "survey_calibrations_feed"
        SELECT coalesce(last.n, 0) + place, gone.id, 'withdrawn', start + place * interval '1 microsecond',
            NULL, judge, reason, gen_random_uuid()
        FROM (SELECT id::text, row_number() OVER (ORDER BY id) AS place FROM "survey_calibrations") AS gone;
    RETURN NULL;
END$body$;
REVOKE EXECUTE ON FUNCTION "survey_calibrations_feed_truncate"() FROM PUBLIC;
CREATE TRIGGER koa_feed_truncate BEFORE TRUNCATE ON "survey_calibrations" FOR EACH STATEMENT EXECUTE FUNCTION "survey_calibrations_feed_truncate"();
COMMENT ON TRIGGER koa_feed_truncate ON "survey_calibrations" IS '5ad813fcf6b04c54';
ALTER TABLE "survey_calibrations" ENABLE ALWAYS TRIGGER koa_feed_truncate;
UPDATE "survey_calibrations_feed_lock" SET xact = pg_current_xact_id();
INSERT INTO "survey_calibrations_feed" (n, op, at, who, token)
    SELECT coalesce(max(n), 0) + 1, 'resweep', greatest(clock_timestamp(), max(at) + interval '1 microsecond'),
        session_user, gen_random_uuid()
    FROM (SELECT n, at FROM "survey_calibrations_feed" ORDER BY n DESC LIMIT 1) AS last;

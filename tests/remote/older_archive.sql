-- An archive as `koa-cal remote init` made it before there was a feed; the table has no column nframes yet.
CREATE TABLE IF NOT EXISTS survey_calibrations (
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
	CONSTRAINT pk_survey_calibrations PRIMARY KEY (id),
	CONSTRAINT uq_survey_calibrations_filename UNIQUE (filename)
);
ALTER TABLE "survey_calibrations" ADD COLUMN IF NOT EXISTS sync_xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint);
CREATE INDEX IF NOT EXISTS ix_survey_calibrations_cal_type_mjd_start ON survey_calibrations (cal_type, mjd_start);
CREATE INDEX IF NOT EXISTS ix_survey_calibrations_datetime_obs_id ON survey_calibrations (datetime_obs, id);
CREATE UNIQUE INDEX IF NOT EXISTS "uq_survey_calibrations_filename" ON "survey_calibrations" (filename);
CREATE INDEX IF NOT EXISTS "ix_survey_calibrations_sync" ON "survey_calibrations" (sync_xid);
CREATE TABLE IF NOT EXISTS "survey_calibrations_withdrawn" (
        id text COLLATE "C" PRIMARY KEY, sync_xid bigint NOT NULL, last_updated text NOT NULL);
CREATE INDEX IF NOT EXISTS "ix_survey_calibrations_withdrawn_sync" ON "survey_calibrations_withdrawn" (sync_xid);
CREATE TABLE IF NOT EXISTS "survey_calibrations_quality_history" (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text COLLATE "C" NOT NULL, quality_before text, quality text, reason text, flagged_by text,
        role text NOT NULL, flagged_at text NOT NULL);
CREATE OR REPLACE FUNCTION "survey_calibrations_stamp"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = "public", pg_temp AS $body$ BEGIN
            NEW.sync_xid := pg_current_xact_id()::text::bigint;
            NEW.last_updated := to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US');
            RETURN NEW; END $body$;
CREATE OR REPLACE TRIGGER "koa_stamp" BEFORE INSERT OR UPDATE ON "survey_calibrations" FOR EACH ROW EXECUTE FUNCTION "survey_calibrations_stamp"();
ALTER TABLE "survey_calibrations" ENABLE ALWAYS TRIGGER "koa_stamp";
CREATE OR REPLACE FUNCTION "survey_calibrations_withdraw"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = "public", pg_temp AS $body$ BEGIN
            IF TG_OP = 'UPDATE' AND NEW.id = OLD.id THEN RETURN NULL; END IF;
            INSERT INTO "survey_calibrations_withdrawn" VALUES (OLD.id::text, pg_current_xact_id()::text::bigint, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'))
                ON CONFLICT (id) DO UPDATE SET (sync_xid, last_updated) = (excluded.sync_xid, excluded.last_updated);
            RETURN NULL; END $body$;
CREATE OR REPLACE TRIGGER "koa_withdraw" AFTER DELETE OR UPDATE ON "survey_calibrations" FOR EACH ROW EXECUTE FUNCTION "survey_calibrations_withdraw"();
ALTER TABLE "survey_calibrations" ENABLE ALWAYS TRIGGER "koa_withdraw";
CREATE OR REPLACE FUNCTION "survey_calibrations_withdraw_all"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = "public", pg_temp AS $body$ BEGIN
            INSERT INTO "survey_calibrations_withdrawn" SELECT id::text, pg_current_xact_id()::text::bigint, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') FROM "survey_calibrations"
                ON CONFLICT (id) DO UPDATE SET (sync_xid, last_updated) = (excluded.sync_xid, excluded.last_updated);
            RETURN NULL; END $body$;
CREATE OR REPLACE TRIGGER "koa_withdraw_all" BEFORE TRUNCATE ON "survey_calibrations" FOR EACH STATEMENT EXECUTE FUNCTION "survey_calibrations_withdraw_all"();
ALTER TABLE "survey_calibrations" ENABLE ALWAYS TRIGGER "koa_withdraw_all";
CREATE OR REPLACE FUNCTION "survey_calibrations_history"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = "public", pg_temp AS $body$ BEGIN
            INSERT INTO "survey_calibrations_quality_history" (id, quality_before, quality, reason, flagged_by, role, flagged_at)
                VALUES (NEW.id::text, OLD.quality, NEW.quality, nullif(current_setting('koa.reason', true), ''),
                        nullif(current_setting('koa.flagged_by', true), ''), session_user, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'));
            RETURN NULL; END $body$;
CREATE OR REPLACE TRIGGER "koa_history" AFTER UPDATE ON "survey_calibrations" FOR EACH ROW WHEN (OLD.quality IS DISTINCT FROM NEW.quality OR current_setting('koa.reason', true) <> '') EXECUTE FUNCTION "survey_calibrations_history"();
ALTER TABLE "survey_calibrations" ENABLE ALWAYS TRIGGER "koa_history";
ALTER TABLE "survey_calibrations" ADD CONSTRAINT koa_origin CHECK (("origin"::text COLLATE "C") IN ('LOCAL', 'REMOTE', 'KECK')) NOT VALID;
ALTER TABLE "survey_calibrations" VALIDATE CONSTRAINT koa_origin;
ALTER TABLE "survey_calibrations" ADD CONSTRAINT koa_cal_version CHECK ((("cal_version"::text COLLATE "C") ~ '^[0-9]{3}$' AND ("cal_version"::text COLLATE "C") <> '000')) NOT VALID;
ALTER TABLE "survey_calibrations" VALIDATE CONSTRAINT koa_cal_version;
ALTER TABLE "survey_calibrations" ADD CONSTRAINT koa_quality CHECK (("quality"::text COLLATE "C") IN ('GOOD', 'BAD', 'UNKNOWN')) NOT VALID;
ALTER TABLE "survey_calibrations" VALIDATE CONSTRAINT koa_quality;

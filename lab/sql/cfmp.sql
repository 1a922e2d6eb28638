-- A few tables of Mission Portal's database, with values of the lab's own making.
BEGIN;
CREATE TABLE customization (key varchar PRIMARY KEY, value text);
CREATE TABLE ci_sessions (
    id varchar(128) PRIMARY KEY,
    ip_address varchar(45),
    "timestamp" bigint DEFAULT 0,
    data text DEFAULT ''
);
CREATE TABLE dashboard_dashboards (
    id serial PRIMARY KEY,
    name varchar(200),
    username varchar(20),
    public integer DEFAULT 0,
    widgets varchar(200),
    sharedwith jsonb
);
CREATE TABLE mail_settings (key varchar PRIMARY KEY, value text);
CREATE TABLE favourite_reports (report_id bigint, username text, created_at timestamptz DEFAULT now());
INSERT INTO customization VALUES ('title', 'The lab');
INSERT INTO mail_settings VALUES ('default_from_email', 'hub@example.net');
INSERT INTO dashboard_dashboards (name, username, public, widgets) VALUES ('Overview', 'admin', 1, '1,2,3');
INSERT INTO favourite_reports (report_id, username) SELECT i, 'admin' FROM generate_series(1, 20) AS i;
ALTER TABLE customization OWNER TO cfmppostgres;
ALTER TABLE ci_sessions OWNER TO cfmppostgres;
ALTER TABLE dashboard_dashboards OWNER TO cfmppostgres;
ALTER TABLE mail_settings OWNER TO cfmppostgres;
ALTER TABLE favourite_reports OWNER TO cfmppostgres;
COMMIT;

-- A few tables of the settings database, with values of the lab's own making.
BEGIN;
CREATE TABLE users (
    username text PRIMARY KEY,
    password text,
    salt text,
    name text,
    email text,
    external boolean DEFAULT false,
    active boolean DEFAULT true,
    roles text[] DEFAULT '{}',
    time_zone text DEFAULT 'Etc/UTC',
    changetimestamp timestamptz DEFAULT now()
);
CREATE TABLE settings (key text PRIMARY KEY, value json);
CREATE TABLE licenseinfo (
    expiretimestamp timestamptz,
    installtimestamp timestamptz,
    organization text,
    licensetype text,
    licensecount integer
);
CREATE TABLE oauth_clients (
    client_id varchar(80) PRIMARY KEY,
    client_secret varchar(80),
    redirect_uri varchar(2000),
    grant_types varchar(80),
    scope varchar(100),
    user_id varchar(80)
);
CREATE TABLE federated_reporting_settings (key varchar PRIMARY KEY, value text);
CREATE TABLE remote_hubs (
    id bigserial PRIMARY KEY,
    hostkey text UNIQUE,
    ui_name varchar(70),
    api_url text,
    target_state varchar(20),
    transport json,
    role varchar(50)
);
INSERT INTO users (username, password, salt, name, email, roles)
    VALUES ('admin', md5('no login with this'), 'salt', 'Administrator', 'admin@example.net', '{admin}'),
           ('CFE_ROBOT', md5('no login with this either'), 'salt', 'Robot', 'robot@example.net', '{admin}');
INSERT INTO settings VALUES ('hostIdentifier', '"default.sys.fqhost"'), ('rbacEnabled', 'true'), ('logLevel', '"error"');
INSERT INTO licenseinfo VALUES (now() + interval '1 year', now(), 'The lab', 'Community', 1000);
INSERT INTO oauth_clients VALUES ('MP', md5('a secret of the lab'), '', 'password', 'user', '');
ALTER TABLE users OWNER TO cfapache;
ALTER TABLE settings OWNER TO cfapache;
ALTER TABLE licenseinfo OWNER TO cfapache;
ALTER TABLE oauth_clients OWNER TO cfapache;
ALTER TABLE federated_reporting_settings OWNER TO cfapache;
ALTER TABLE remote_hubs OWNER TO cfapache;
COMMIT;

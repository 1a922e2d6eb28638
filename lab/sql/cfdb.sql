-- The report database of a hub with 1,000 hosts, 100 MB or more: the columns that the product's
-- documentation names, in tables of the lab's own making behind views with the documented names.
-- One transaction, so that a server with wal_level=minimal writes next to no WAL for it.
BEGIN;

CREATE TYPE change_operation AS ENUM ('ADD', 'CHANGE', 'REMOVE', 'UNTRACKED');
CREATE TYPE promise_outcome AS ENUM ('KEPT', 'NOTKEPT', 'REPAIRED');
CREATE TYPE seen_direction AS ENUM ('INCOMING', 'OUTGOING');

CREATE TABLE __hosts (
    hostkey text PRIMARY KEY,
    hostname text,
    ipaddress text,
    iscallcollected boolean NOT NULL DEFAULT false,
    lastreporttimestamp timestamptz,
    firstreporttimestamp timestamptz,
    deleted timestamptz
);
CREATE TABLE __agentstatus (
    hostkey text PRIMARY KEY,
    agentexecutioninterval integer,
    lastagentlocalexecutiontimestamp timestamptz,
    lastagentexecutionstatus text CHECK (lastagentexecutionstatus IN ('OK', 'FAIL'))
);
CREATE TABLE __lastseenhosts (
    hostkey text,
    lastseendirection seen_direction,
    remotehostkey text,
    remotehostip text,
    lastseentimestamp timestamptz,
    lastseeninterval real
);
CREATE TABLE __lastseenhostslogs (LIKE __lastseenhosts);
CREATE TABLE __contexts (
    hostkey text,
    contextname text,
    metatags text[],
    changetimestamp timestamptz
);
CREATE TABLE __contextslog (
    hostkey text,
    changetimestamp timestamptz,
    changeoperation change_operation,
    contextname text,
    metatags text[]
);
CREATE TABLE __variables (
    hostkey text,
    namespace text,
    bundle text,
    variablename text,
    variablevalue text,
    variabletype text,
    metatags text[],
    changetimestamp timestamptz
);
CREATE TABLE __variableslog (
    hostkey text,
    changetimestamp timestamptz,
    changeoperation change_operation,
    namespace text,
    bundle text,
    variablename text,
    variablevalue text,
    variabletype text,
    metatags text[]
);
CREATE TABLE __inventory (
    hostkey text PRIMARY KEY,
    "values" jsonb
);
CREATE TABLE __software (
    hostkey text,
    softwarename text,
    softwareversion text,
    softwarearchitecture text,
    changetimestamp timestamptz
);
CREATE TABLE __softwareupdates (
    hostkey text,
    patchname text,
    patchversion text,
    patcharchitecture text,
    patchreporttype text CHECK (patchreporttype IN ('INSTALLED', 'AVAILABLE')),
    changetimestamp timestamptz
);
CREATE TABLE __softwarelog (
    hostkey text,
    changetimestamp timestamptz,
    changeoperation change_operation,
    softwarename text,
    softwareversion text,
    softwarearchitecture text
);
CREATE TABLE __promiseexecutions (
    hostkey text,
    policyfile text,
    releaseid text,
    promisehash text,
    namespace text,
    bundlename text,
    promisetype text,
    promiser text,
    stackpath text,
    promisehandle text,
    promiseoutcome promise_outcome,
    logmessages text[],
    promisees text[],
    changetimestamp timestamptz
);
CREATE TABLE __promiselog (
    id bigserial PRIMARY KEY,
    hostkey text,
    changetimestamp timestamptz,
    policyfile text,
    releaseid text,
    promisehash text,
    namespace text,
    bundlename text,
    promisetype text,
    promiser text,
    stackpath text,
    promisehandle text,
    promiseoutcome promise_outcome,
    logmessages text[],
    promisees text[]
);
CREATE TABLE __filechangeslog (
    hostkey text,
    promisehandle text,
    filename text,
    changetimestamp timestamptz,
    changetype text,
    changedetails text[]
);
CREATE TABLE __benchmarkslog (
    hostkey text,
    eventname text,
    standarddeviation numeric,
    averagevalue numeric,
    lastvalue numeric,
    checktimestamp timestamptz
);
CREATE TABLE __monitoringmgmeta (
    id serial PRIMARY KEY,
    hostkey text,
    observable text,
    global boolean,
    expected_min real,
    expected_max real,
    unit text,
    description text,
    updatedtimestamp timestamptz,
    lastupdatedsample integer
);
CREATE TABLE __hubconnectionerrors (
    hostkey text,
    checktimestamp timestamptz,
    message text,
    querytype text
);
CREATE TABLE __status (
    host text,
    ts timestamptz,
    status text,
    lstatus text,
    type text,
    who integer,
    whr integer
);
CREATE TABLE variables_dictionary (
    id serial PRIMARY KEY,
    attribute_name text UNIQUE,
    category text,
    readonly integer,
    type text,
    convert_function text,
    keyname text,
    enabled integer
);
-- The lab's own: what its writers insert, to find lost writes by.
CREATE TABLE ha_writes (
    id bigserial PRIMARY KEY,
    writer text NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Data. Every value follows from its number, so two labs hold the same.
CREATE TEMPORARY TABLE host ON COMMIT DROP AS
    SELECT n,
           'MD5=' || md5('lab host ' || n) AS hostkey,
           format('host%s.example.net', lpad(n::text, 4, '0')) AS hostname,
           format('10.%s.%s.%s', 20 + n / 60000, (n / 250) % 250, 1 + n % 250) AS ipaddress
      FROM generate_series(1, 1000) AS n;

INSERT INTO __hosts (hostkey, hostname, ipaddress, iscallcollected, lastreporttimestamp, firstreporttimestamp)
    SELECT hostkey, hostname, ipaddress, n % 20 = 0, now() - n % 300 * interval '1 second', now() - n * interval '1 hour'
      FROM host;
INSERT INTO __agentstatus
    SELECT hostkey, 290 + n % 20, now() - n % 300 * interval '1 second', CASE WHEN n % 100 = 0 THEN 'FAIL' ELSE 'OK' END
      FROM host;
INSERT INTO __lastseenhosts
    SELECT hostkey, d::seen_direction, 'MD5=' || md5('lab hub'), '192.168.100.10', now() - n % 300 * interval '1 second', 300
      FROM host, unnest(ARRAY['INCOMING', 'OUTGOING']) AS d;
INSERT INTO __lastseenhostslogs
    SELECT hostkey, 'INCOMING', 'MD5=' || md5('lab hub'), '192.168.100.10', now() - i * interval '5 minutes', 300
      FROM host, generate_series(1, 24) AS i;
INSERT INTO __contexts
    SELECT hostkey, format('context_%s_%s', i, md5(i::text)), '{inventory,attribute_name=none,source=agent,hardclass}', now()
      FROM host, generate_series(1, 60) AS i;
INSERT INTO __contextslog
    SELECT hostkey, now() - i * interval '1 day', 'ADD', format('context_%s_%s', i, md5(i::text)), '{inventory,source=agent}'
      FROM host, generate_series(1, 15) AS i;
INSERT INTO __variables
    SELECT hostkey, 'default', CASE WHEN i < 40 THEN 'sys' ELSE 'inventory_' || i % 9 END, 'variable_' || i,
           md5(format('%s %s', n, i)) || ' of ' || hostname, 'string', '{inventory,source=agent,"attribute_name=Lab value"}', now()
      FROM host, generate_series(1, 100) AS i;
INSERT INTO __variableslog
    SELECT hostkey, now() - i * interval '1 day', 'CHANGE', 'default', 'sys', 'variable_' || i, md5(format('%s %s', n, i)), 'string',
           '{inventory,source=agent}'
      FROM host, generate_series(1, 15) AS i;
INSERT INTO __inventory
    SELECT hostkey, jsonb_build_object(
               'Host name', hostname, 'OS', 'debian', 'OS type', 'linux', 'Architecture', 'x86_64',
               'CPU model', 'Lab CPU ' || n % 7, 'CPU sockets', (1 + n % 4)::text, 'CFEngine ID', hostkey,
               'CFEngine version', '3.24.' || n % 3, 'IPv4 addresses', ipaddress, 'Memory size (MB)', (1024 * (1 + n % 64))::text,
               'Uptime minutes', (n * 37)::text, 'Serial', upper(md5(hostkey)))
      FROM host;
INSERT INTO __software
    SELECT hostkey, 'package-' || i, format('%s.%s-%s', 1 + i % 5, n % 7, i), 'amd64', now() - i * interval '1 hour'
      FROM host, generate_series(1, 120) AS i;
INSERT INTO __softwareupdates
    SELECT hostkey, 'package-' || i, format('%s.%s-%s', 1 + i % 5, 1 + n % 7, i), 'amd64', 'AVAILABLE', now()
      FROM host, generate_series(1, 10) AS i;
INSERT INTO __softwarelog
    SELECT hostkey, now() - i * interval '1 day', 'ADD', 'package-' || i, format('%s.%s-%s', 1 + i % 5, n % 7, i), 'amd64'
      FROM host, generate_series(1, 15) AS i;
INSERT INTO __promiseexecutions
    SELECT hostkey, '/var/lib/cfengine3/inputs/services/main.cf', '3.24.1', md5(format('%s %s', n, i)), 'default', 'bundle_' || i % 12,
           'files', '/etc/lab/file' || i, '/default/main/methods', 'handle_' || i, 'KEPT', '{}', '{}', now()
      FROM host, generate_series(1, 60) AS i;
INSERT INTO __promiselog (hostkey, changetimestamp, policyfile, releaseid, promisehash, namespace, bundlename, promisetype,
                          promiser, stackpath, promisehandle, promiseoutcome, logmessages, promisees)
    SELECT hostkey, now() - i * interval '10 minutes', '/var/lib/cfengine3/inputs/services/main.cf', '3.24.1',
           md5(format('%s %s', n, i)), 'default', 'bundle_' || i % 12, 'files', '/etc/lab/file' || i, '/default/main/methods',
           'handle_' || i, CASE WHEN i % 3 = 0 THEN 'NOTKEPT' ELSE 'REPAIRED' END::promise_outcome,
           ARRAY[format('Edited file /etc/lab/file%s on %s', i, hostname)], '{}'
      FROM host, generate_series(1, 100) AS i;
INSERT INTO __filechangeslog
    SELECT hostkey, 'watch_' || i, '/etc/lab/file' || i, now() - i * interval '1 day', 'C', '{"Content changed"}'
      FROM host, generate_series(1, 5) AS i;
INSERT INTO __benchmarkslog
    SELECT hostkey, 'CFEngine Execution (policy ' || i || ')', 0.1 * (n % 13), 3.5, 1.2, now()
      FROM host, generate_series(1, 10) AS i;
INSERT INTO __monitoringmgmeta (hostkey, observable, global, expected_min, expected_max, unit, description, updatedtimestamp,
                                lastupdatedsample)
    SELECT hostkey, 'observable_' || i, true, 0, 100, 'percent', 'Lab observable ' || i, now(), n
      FROM host, generate_series(1, 10) AS i;
INSERT INTO __hubconnectionerrors
    SELECT hostkey, now() - n * interval '1 minute', 'ServerNoReply', 'delta' FROM host WHERE n % 50 = 0;
INSERT INTO __status
    SELECT hostkey, now(), 'CONSUMED', 'ok', 'delta', n, 0 FROM host;
INSERT INTO variables_dictionary (attribute_name, category, readonly, type, convert_function, keyname, enabled)
    SELECT 'Attribute ' || i, 'User defined', 0, 'string', NULL, 'default.sys.variable_' || i, 1 FROM generate_series(1, 40) AS i;

CREATE INDEX ON __contexts (hostkey);
CREATE INDEX ON __variables (hostkey, variablename);
CREATE INDEX ON __software (hostkey);
CREATE INDEX ON __promiseexecutions (hostkey);
CREATE INDEX ON __promiselog (hostkey, changetimestamp);
CREATE INDEX ON __lastseenhosts (hostkey);

CREATE VIEW hosts AS
    SELECT hostkey, hostname, ipaddress, lastreporttimestamp, firstreporttimestamp FROM __hosts WHERE deleted IS NULL;
CREATE VIEW v_hosts AS
    SELECT hostkey, iscallcollected, lastreporttimestamp, firstreporttimestamp FROM __hosts WHERE deleted IS NULL;
CREATE VIEW hosts_not_reported AS
    SELECT hostkey, iscallcollected, lastreporttimestamp, firstreporttimestamp FROM __hosts WHERE lastreporttimestamp IS NULL;
CREATE MATERIALIZED VIEW vm_hosts AS SELECT * FROM hosts;
CREATE VIEW inventory_new AS SELECT * FROM __inventory;
CREATE VIEW inventory AS
    SELECT hostkey, concat_ws('.', namespace, bundle, variablename) AS keyname, variabletype AS type, metatags, variablevalue AS value
      FROM __variables WHERE 'inventory' = ANY (metatags);
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['agentstatus', 'lastseenhosts', 'lastseenhostslogs', 'contexts', 'contextslog', 'variables',
        'variableslog', 'software', 'softwareupdates', 'softwarelog', 'promiseexecutions', 'promiselog', 'filechangeslog',
        'benchmarkslog', 'monitoringmgmeta', 'hubconnectionerrors', 'status'] LOOP
        EXECUTE format('CREATE VIEW %I AS SELECT * FROM %I', name, '__' || name);
    END LOOP;
END
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO cfapache, cfmppostgres;
GRANT SELECT, INSERT ON ha_writes TO lab_writer;
GRANT USAGE ON SEQUENCE ha_writes_id_seq TO lab_writer;
COMMIT;
ANALYZE;

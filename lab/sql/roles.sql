-- Database roles of a CFEngine hub, and one of the operator's own: the lab's outside writer.
-- Its password is set when the hub is seeded: no image carries a secret. Run as cfpostgres, initdb's superuser.
CREATE ROLE root SUPERUSER LOGIN;
CREATE ROLE cfapache LOGIN;
CREATE ROLE cfmppostgres LOGIN;
CREATE ROLE lab_writer LOGIN;
CREATE DATABASE cfdb OWNER cfpostgres TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE cfsettings OWNER cfapache TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE cfmp OWNER cfmppostgres TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';

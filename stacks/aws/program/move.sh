# A service's tables on their way from one database to another, as a task of its own. Where
# they are is read from the databases, so that it goes on from whatever another one has left:
# a trigger on each table refuses writes where they are not ("scale_copying": they are written
# by what they follow alone; "scale_moved": another has them), so that at any time at most
# one of the two takes writes.
#
# move.sh copy    copies, and returns when what is written is in step
# move.sh switch  does that, lets the other take the writes, and takes away what only a move needs
# move.sh forget  gives a copy up that takes no writes: its tables stay, closed
#
# FROM_HOST, FROM_PORT, FROM_USER, FROM_PASSWORD and the same of TO say where the databases are,
# DATABASE what both are called there; KEY names the move, TABLES are the names by commas, with
# their schemas where they have one.
set -euo pipefail
umask 077
export PGSERVICEFILE=${TMPDIR:-/tmp}/$KEY.services
work=${TMPDIR:-/tmp}/$KEY
cat >"$PGSERVICEFILE" <<SERVICES
[from]
host=$FROM_HOST
port=$FROM_PORT
user=$FROM_USER
password=$FROM_PASSWORD
dbname=$DATABASE
connect_timeout=10
[to]
host=$TO_HOST
port=$TO_PORT
user=$TO_USER
password=$TO_PASSWORD
dbname=$DATABASE
connect_timeout=10
SERVICES

sql() {
	db=$1
	shift
	psql -X -q -At -v ON_ERROR_STOP=1 "service=$db" "$@"
}
say() { echo "move: $*" >&2; }
fail() { say "$*"; exit 1; }

beat="scale.beat_$KEY"
# As SQL has them: quoted, and with the schema in which they are found.
TABLES=$(sql from -c "SELECT string_agg(CASE WHEN nspname IS NULL THEN t ELSE format('%I.%I', nspname, relname) END, ',') FROM
	(SELECT (SELECT string_agg(quote_ident(p), '.') FROM unnest(string_to_array(x, '.')) p) AS t FROM unnest(string_to_array('$TABLES', ',')) x) ts
	LEFT JOIN pg_class c ON c.oid = to_regclass(t) LEFT JOIN pg_namespace n ON n.oid = relnamespace")
each="unnest(string_to_array('$TABLES', ',')) t"

# place tells what of the tables a database has.
place() {
	sql "$1" -c "SELECT coalesce(string_agg(DISTINCT CASE WHEN to_regclass(t) IS NULL THEN 'absent' ELSE
		coalesce((SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass(t) AND tgname IN ('scale_copying', 'scale_moved')), 'here') END, '+'), '') FROM $each"
}

# fence are the statements that close tables to writes; open those that let them in again.
fence() {
	echo "SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS scale; CREATE OR REPLACE FUNCTION scale.fence() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
		RAISE EXCEPTION '%.% takes no writes here', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'read_only_sql_transaction'; END \$\$;"
	sql from -c "SELECT format('CREATE TRIGGER $1 BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION scale.fence();', t) FROM $each"
}
open() {
	sql "$1" -c "SELECT format('DROP TRIGGER IF EXISTS scale_copying ON %s; DROP TRIGGER IF EXISTS scale_moved ON %s;', t, t) FROM $each" |
		{ echo 'SET client_min_messages = warning;'; cat; } >"$work.open"
	sql "$1" --single-transaction -f "$work.open"
}

# forget takes away all that only a move needs.
forget() {
	sql to -c "SELECT format('ALTER SUBSCRIPTION %s DISABLE; ALTER SUBSCRIPTION %s SET (slot_name = NONE); DROP SUBSCRIPTION %s;', subname, subname, subname)
		FROM pg_subscription WHERE subname = '$KEY' AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())" | sql to
	sql from <<-SQL >/dev/null
		SET client_min_messages = warning;
		SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '$KEY' AND active;
		SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$KEY';
		DROP PUBLICATION IF EXISTS $KEY;
		SELECT 'DROP OWNED BY $KEY; DROP ROLE $KEY' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = '$KEY') \gexec
		DROP TABLE IF EXISTS $beat;
	SQL
	sql to -c "SET client_min_messages = warning" -c "DROP TABLE IF EXISTS $beat"
}

# fit refuses tables that cannot follow, or not by themselves.
fit() {
	[ "$(sql from -c 'SHOW wal_level')" = logical ] || fail "the database does not write what is needed to follow single tables: restart it once, for its parameter rds.logical_replication"
	bad=$(sql from -c "SELECT string_agg(t || CASE
		WHEN NOT (relkind = 'r' AND relpersistence = 'p' AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent))) THEN ' is a view, unlogged, inherited or partitioned'
		ELSE ' has no primary key' END, '; ') FROM $each JOIN pg_class c ON c.oid = to_regclass(t)
		WHERE NOT (relkind = 'r' AND relpersistence = 'p' AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)))
		OR NOT (relreplident IN ('f', 'i') OR relreplident = 'd' AND EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary))")
	[ -z "$bad" ] || fail "these tables cannot move by themselves: $bad"
	bad=$(sql from -c "SELECT string_agg(format('%s of %s refers to %s', conname, conrelid::regclass, confrelid::regclass), '; ') FROM pg_constraint,
		(SELECT array_agg(to_regclass(t)::oid) AS own FROM $each) x WHERE contype = 'f' AND (conrelid = ANY(own)) <> (confrelid = ANY(own))")
	[ -z "$bad" ] || fail "the tables do not stand by themselves: $bad"
}

# begin makes the tables there as they are here, and lets them follow.
begin() {
	forget
	password=$(head -c 32 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | head -c 32)
	sql from <<-SQL
		SET client_min_messages = warning;
		CREATE SCHEMA IF NOT EXISTS scale;
		CREATE TABLE $beat (id int PRIMARY KEY, n bigint NOT NULL);
		INSERT INTO $beat VALUES (1, 0);
		CREATE ROLE $KEY LOGIN PASSWORD '$password';
		SELECT CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication') THEN 'GRANT rds_replication TO $KEY' ELSE 'ALTER ROLE $KEY REPLICATION' END \gexec
		GRANT USAGE ON SCHEMA scale TO $KEY;
		GRANT SELECT ON $beat TO $KEY;
		SELECT format('GRANT SELECT ON %s TO $KEY; GRANT USAGE ON SCHEMA %I TO $KEY', t, nspname) FROM $each JOIN pg_class c ON c.oid = to_regclass(t) JOIN pg_namespace n ON n.oid = relnamespace \gexec
		SELECT format('CREATE PUBLICATION $KEY FOR TABLE $beat, %s', string_agg(t, ', ')) FROM $each \gexec
		SET client_connection_check_interval = '1s';
		DO 'BEGIN PERFORM pg_create_logical_replication_slot(''$KEY'', ''pgoutput''); END';
	SQL
	set -- --schema-only --no-owner --no-privileges --no-publications --no-subscriptions -t "$beat"
	while read -r t; do
		set -- "$@" -t "$t"
	done <<<"${TABLES//,/$'\n'}"
	echo "SET client_min_messages = warning; DROP TABLE IF EXISTS $beat, $TABLES; CREATE SCHEMA IF NOT EXISTS scale;" >"$work.schema"
	sql from -c "SELECT DISTINCT format('CREATE SCHEMA IF NOT EXISTS %I;', nspname) FROM $each JOIN pg_class c ON c.oid = to_regclass(t) JOIN pg_namespace n ON n.oid = relnamespace" >>"$work.schema"
	pg_dump -d service=from "$@" >>"$work.schema"
	fence scale_copying >>"$work.schema"
	sql to --single-transaction -f "$work.schema" >/dev/null
	sql to <<-SQL
		SET client_min_messages = warning;
		CREATE SUBSCRIPTION $KEY CONNECTION 'host=$FROM_HOST port=$FROM_PORT dbname=$DATABASE user=$KEY password=$password connect_timeout=10' PUBLICATION $KEY WITH (create_slot = false, slot_name = '$KEY');
	SQL
}

# rows are how many each of the tables has.
rows() {
	sql "$1" -c "SELECT string_agg(format('SELECT count(*) FROM %s', t), ' UNION ALL ') || ';' FROM $each" >"$work.rows"
	sql "$1" -f "$work.rows" | tr '\n' ' '
}

# arrives returns when all that was written before is there, or fails after a number of seconds.
arrives() {
	n=$(sql from -c "UPDATE $beat SET n = n + 1 RETURNING n")
	until [ "$(sql to -c "SELECT coalesce(max(n), -1) FROM $beat")" -ge "$n" ]; do
		[ "$1" -gt 0 ] || return 1
		set -- $(($1 - 1))
		sleep 1
	done
}

# in_step returns when every table is copied and what is written is seen.
in_step() {
	until [ "$(sql to -c "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel JOIN pg_subscription s ON s.oid = srsubid WHERE subname = '$KEY'")" = t ]; do
		[ "$(sql to -c "SELECT coalesce(sum(apply_error_count + sync_error_count), 0) < 3 FROM pg_stat_subscription_stats WHERE subname = '$KEY'")" = t ] ||
			fail "the copy fails: the log of the database that is to have the tables says why"
		sleep 1
	done
	arrives 600 || fail "what is written does not arrive"
}

copy() {
	fit
	kept=$(sql from -c "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '$KEY' AND wal_status <> 'lost')")
	follows=$(sql to -c "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = '$KEY' AND subenabled)")
	if [ "$there" = scale_copying ] && [ "$kept$follows" = tt ]; then
		in_step
		return
	fi
	begin
	in_step
	sql to -c "VACUUM (ANALYZE) $TABLES" # whoever reads them next finds statistics
	in_step
}

# switch lets the other take the writes. Until it does nothing is lost by giving up.
switch() {
	if [ "$here" = here ]; then
		echo "SET lock_timeout = '10s'; LOCK TABLE $TABLES IN SHARE ROW EXCLUSIVE MODE;" >"$work.close"
		fence scale_moved >>"$work.close"
		sql from --single-transaction -f "$work.close"
	fi
	trap 'open from; say "the tables stay where they are"' EXIT
	arrives 60 || fail "what was written last does not arrive"
	a=$(rows from)
	b=$(rows to)
	[ "$a" = "$b" ] || fail "$TABLES have ${a% } rows, and the copy ${b% }"
	# Sequences that belong to the tables do not follow.
	sql from -c "SELECT format('SELECT format(''SELECT setval(%%L, %%s, %%L);'', %L, last_value, is_called) FROM %I.%I;', format('%I.%I', nspname, relname), nspname, relname)
		FROM pg_class s JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
		WHERE relkind = 'S' AND refobjid IN (SELECT to_regclass(t) FROM $each)" | sql from | sql to >/dev/null
	trap 'exit 3' EXIT # when this fails nobody knows whether they are open: the next run sees
	open to
	trap - EXIT
	forget || say "they have arrived; something that only the move needed is left, and goes with the next one"
}

if [ "$1" = forget ]; then
	forget
	exit 0
fi
here=$(place from)
there=$(place to)
say "$1: where they come from the tables are '$here', where they go to '$there'"
case "$here/$there" in
scale_moved/here | scale_copying/here) # they have arrived
	forget
	exit 0
	;;
*absent*/*) fail "not all of $TABLES are where they are to be copied from" ;;
scale_copying/scale_moved) # they never left: an earlier move was given up in the middle of its switch
	open to
	forget
	exit 0
	;;
scale_moved/scale_copying) # it was killed in the middle of its switch
	if [ "$1" = switch ]; then switch; fi
	exit 0
	;;
here/here)
	[ -z "$(rows to | tr -d '0 ')" ] ||
		fail "both databases have something in $TABLES: neither is a copy of the other; drop the tables in the one that is wrong"
	copy
	;;
here/*) copy ;;
*) fail "neither of the databases takes writes to $TABLES" ;;
esac
if [ "$1" = switch ]; then switch; fi

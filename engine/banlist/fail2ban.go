package banlist

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// ReadFail2ban yields the bans in force of a fail2ban database, which it only reads. Errors are as those of Read.
func ReadFail2ban(ctx context.Context, path string, now time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		o := &output{yield: yield, now: now}
		if err := readFail2ban(ctx, path, o); err != nil && !o.stopped {
			yield(Entry{}, fmt.Errorf("fail2ban's database: %w", err))
		}
	}
}

func readFail2ban(ctx context.Context, path string, o *output) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	source := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return err
	}
	defer db.Close()
	query, err := fail2banQuery(ctx, db)
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := 1; rows.Next() && !o.stopped; n++ {
		var ip, jail sql.NullString
		var begin, length sql.NullInt64
		if err := rows.Scan(&ip, &jail, &begin, &length); err != nil {
			o.mistake(Entry{Line: n}, "%w", err)
			continue
		}
		o.fail2ban(Entry{Line: n, By: "fail2ban " + jail.String, Why: "banned by fail2ban"}, ip.String, begin, length)
	}
	return rows.Err()
}

// fail2banQuery asks for what the schema at hand has: fail2ban keeps who is banned in the table bips, and before 0.11 only
// a history, without times.
func fail2banQuery(ctx context.Context, db *sql.DB) (string, error) {
	columns := func(table string) map[string]bool {
		rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
		if err != nil {
			return nil
		}
		defer rows.Close()
		out := map[string]bool{}
		for rows.Next() {
			var name string
			if rows.Scan(&name) == nil {
				out[name] = true
			}
		}
		return out
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(new(int)); err != nil {
		return "", err
	}
	bips, bans := columns("bips"), columns("bans")
	switch {
	case bips["ip"] && bips["jail"] && bips["timeofban"] && bips["bantime"]:
		return "SELECT ip, jail, timeofban, bantime FROM bips ORDER BY timeofban", nil
	case bans["ip"] && bans["jail"] && bans["timeofban"] && bans["bantime"]:
		return "SELECT ip, jail, max(timeofban), bantime FROM bans GROUP BY ip, jail ORDER BY timeofban", nil
	case bans["ip"] && bans["jail"] && bans["timeofban"]:
		return "SELECT ip, jail, max(timeofban), NULL FROM bans GROUP BY ip, jail ORDER BY timeofban", nil
	}
	return "", errors.New("it is none: it has no table bips or bans with ip, jail and timeofban")
}

// endless is fail2ban's bantime of a ban for ever.
const endless = -1

func (o *output) fail2ban(e Entry, ip string, begin, length sql.NullInt64) {
	e.Since = time.Unix(begin.Int64, 0)
	switch {
	case !begin.Valid || begin.Int64 <= 0 || e.Since.After(o.now.Add(24*time.Hour)):
		o.mistake(e, "%s: %d is no time at which a ban can have begun", shorten(ip), begin.Int64)
		return
	case length.Valid && length.Int64 == endless:
		e.Endless = true
	case length.Valid && (length.Int64 < 0 || length.Int64 > int64(100*365*24*time.Hour/time.Second)):
		o.mistake(e, "%s: %d seconds are no time to ban for", shorten(ip), length.Int64)
		return
	case length.Valid:
		e.Until = e.Since.Add(time.Duration(length.Int64) * time.Second)
	}
	o.entry(e, ip)
}

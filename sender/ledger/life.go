package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// The catalog says itself whether it was closed in order. An older one that somebody has put back says so too, and knows nothing of what came after. So each start gives it a
// number, which stands in it and in a file beside it, and trusts it only where both agree.

// lifeMost is the highest number that SQLite keeps as its user_version; after it they begin again.
const lifeMost = 1<<31 - 1

func (l *Ledger) lifePath() string { return filepath.Join(l.dir, "catalog-life") }

// begin says whether the catalog is the one that was closed last, and gives it the number of this life. The file gets it first: a crash in between has the catalog made again.
func (l *Ledger) begin(ctx context.Context) (last bool, err error) {
	var have uint64
	if err := l.catalog.DB().QueryRowContext(ctx, `PRAGMA user_version`).Scan(&have); err != nil {
		return false, err
	}
	text, err := l.disk.ReadFile(l.lifePath(), 64)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	known, torn := strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 31)
	last = err == nil && torn == nil && have == known
	life := (max(have, known) + 1) & lifeMost
	if err := l.disk.Replace(l.lifePath(), []byte(strconv.FormatUint(life, 10)+"\n")); err != nil {
		return false, err
	}
	err = l.catalog.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`PRAGMA user_version = ` + strconv.FormatUint(life, 10))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("number the catalog: %w", err)
	}
	return last && !l.catalog.Dirty(), nil
}

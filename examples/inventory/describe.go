package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
)

// describe writes load.txt, which has every refused row and everything that was decided about the input, and keeps
// the short form of it for the end of the run.
func (s *system) describe(ctx context.Context, in input, steps []step) (err error) {
	f, err := os.Create(s.folder.file("load.txt"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
	fmt.Fprintf(w, "%s, read as %s\n", in.name, in.kind)
	for _, st := range steps {
		for d, err := range st.sync.DeadRows(ctx) {
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "refused: %s: %s\n", refusal(d), strings.TrimSpace(clip(string(d.Value))))
		}
	}
	if in.kind != lineInput {
		return nil
	}
	for _, part := range []struct{ title, query string }{
		{"lines that are not stock",
			`SELECT class || ', ' || code || ': ' || count(*) FROM invoice_line WHERE class NOT IN ('sale', 'return')
			 GROUP BY class, code ORDER BY class DESC, code`},
		{"products whose opening stock was clamped at 0, and how far below it would have been",
			`SELECT sku || ': ' || clamped FROM catalogue_of_lines WHERE clamped > 0 ORDER BY sku`},
		{"codes that differ only in case",
			`SELECT group_concat(code, ' ') FROM (SELECT DISTINCT code FROM invoice_line ORDER BY code)
			 GROUP BY upper(code) HAVING count(*) > 1 ORDER BY upper(code)`},
	} {
		all, err := queryAll(ctx, s.warehouse.db, scanText, part.query)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%s: %d\n", part.title, len(all))
		for _, line := range all {
			fmt.Fprintln(w, " ", line)
		}
	}
	return s.summarize(ctx)
}

// summarize notes what the lines were, in a few lines for the terminal.
func (s *system) summarize(ctx context.Context) error {
	counts := map[string]int64{}
	_, err := queryAll(ctx, s.warehouse.db, func(rows *sql.Rows) (struct{}, error) {
		var class string
		var n int64
		err := rows.Scan(&class, &n)
		counts[class] = n
		return struct{}{}, err
	}, `SELECT class, count(*) FROM invoice_line GROUP BY class`)
	if err != nil {
		return err
	}
	s.note("%s: %s, %s; not stock: %d without a price, %d of codes that are no product",
		plural(counts[classSale]+counts[classReturn]+counts[classNoPrice]+counts[classNoProduct], "line"),
		plural(counts[classSale], "sale"), plural(counts[classReturn], "return"), counts[classNoPrice], counts[classNoProduct])

	clamped, err := queryAll(ctx, s.warehouse.db, scanText, `SELECT sku FROM catalogue_of_lines WHERE clamped > 0 ORDER BY sku`)
	if err != nil {
		return err
	}
	s.note("opening stock: clamped at 0 for %s%s", plural(int64(len(clamped)), "product"), some(clamped))

	twins, err := queryAll(ctx, s.warehouse.db, scanText,
		`SELECT min(code) FROM (SELECT DISTINCT code FROM invoice_line) GROUP BY upper(code) HAVING count(*) > 1 ORDER BY 1`)
	if err != nil {
		return err
	}
	how := "two products each (one with -fold-case)"
	if s.c.foldCase {
		how = "one product each (-fold-case)"
	}
	if len(twins) > 0 {
		s.note("codes that differ only in case: %d, %s%s", len(twins), how, some(twins))
	}
	s.note("all of it: %s", s.folder.file("load.txt"))
	return nil
}

func (s *system) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// some names the first few.
func some(all []string) string {
	const few = 5
	switch {
	case len(all) == 0:
		return ""
	case len(all) <= few:
		return ": " + strings.Join(all, ", ")
	}
	return ": " + strings.Join(all[:few], ", ") + ", ..."
}

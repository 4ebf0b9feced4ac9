package view

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scale-levels/scale/internal/plan"
)

// BenchText writes what a load met.
func BenchText(w io.Writer, b plan.Bench, s Style) {
	fmt.Fprintf(w, "%s at level %d: %d requests a second from each region for %g s\n", s.Bold(b.App+"/"+b.Env), b.Level, b.Rate, b.Seconds)
	rows := [][]string{{s.Faint("  USERS IN"), s.Faint("WHEN"), s.Faint("ARE LED TO"), s.Faint("REQUESTS"), s.Faint("FAILED"), s.Faint("P50"), s.Faint("P95"), s.Faint("P99"), s.Faint("MAX"), s.Faint("FROM THE EDGE")}}
	for _, u := range b.Users {
		failed, hits := "0", "-"
		if u.Errors > 0 {
			failed = s.Bad(fmt.Sprint(u.Errors))
		}
		if u.Hits >= 0 {
			hits = fmt.Sprintf("%.0f %%", 100*u.Hits)
		}
		ms := func(v float64) string { return fmt.Sprintf("%.1f ms", v) }
		rows = append(rows, []string{"  " + u.Region, u.Phase, u.Address, fmt.Sprint(u.Requests), failed, ms(u.P50), ms(u.P95), ms(u.P99), ms(u.Max), hits})
	}
	if phases := slices.ContainsFunc(b.Users, func(u plan.Users) bool { return u.Phase != "" }); !phases {
		for i, r := range rows {
			rows[i] = slices.Delete(r, 1, 2)
		}
	}
	for _, l := range table(rows) {
		fmt.Fprintln(w, l)
	}
	for _, u := range b.Users {
		if u.Errors == 0 {
			continue
		}
		var codes []string
		for _, c := range slices.Sorted(maps.Keys(u.Codes)) {
			what := c
			if c == "0" {
				what = "no answer"
			}
			codes = append(codes, fmt.Sprintf("%s: %d", what, u.Codes[c]))
		}
		fmt.Fprintf(w, "  %s: %s\n", strings.TrimSpace(u.Region+" "+u.Phase), strings.Join(codes, ", "))
	}
	for _, db := range slices.Sorted(maps.Keys(b.Transactions)) {
		fmt.Fprintf(w, "  %s did about %d transactions\n", db, b.Transactions[db])
	}
	if len(b.Users) > 1 || b.WAN > 0 {
		fmt.Fprintf(w, "  %s passed between regions\n", Bytes(b.WAN))
	}
}

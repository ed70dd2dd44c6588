package usage

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestPricesAndAmountsArePlainDecimals(t *testing.T) {
	for text, want := range map[string]Price{"0": 0, "0.12": 120_000_000, "3.50": 3_500_000_000, "0.000000001": 1, "999999999.999999999": 999_999_999_999_999_999, "007": 7_000_000_000} {
		if p, err := ParsePrice(text); err != nil || p != want {
			t.Errorf("%s is %d, %v", text, p, err)
		}
	}
	for text, want := range map[string]string{"12000": "12000.00", "0.5": "0.50", "0.05": "0.05"} {
		if a, err := ParseAmount(text); err != nil || a.String() != want {
			t.Errorf("%s is %v, %v", text, a, err)
		}
	}
	for _, text := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1_000", "0x1", " 1", "1.0000000001", "1234567890", "NaN", "١"} {
		if p, err := ParsePrice(text); err == nil {
			t.Errorf("%q is taken for %v", text, p)
		}
	}
	for _, text := range []string{"1.234", "92233720368547758.08", "123456789012345678"} {
		if a, err := ParseAmount(text); err == nil {
			t.Errorf("%s is taken for %v", text, a)
		}
	}
	if a, err := ParseAmount("92233720368547758.07"); err != nil || a != math.MaxInt64 {
		t.Errorf("the most is %v, %v", a, err)
	}
}

// What a sum of money is does not hang on how a machine writes fractions: held against exact arithmetic, and against what float64 makes of it.
func TestMoneyIsDecimalAndRoundedOnce(t *testing.T) {
	for _, row := range []struct {
		name         string
		price        string
		things, unit int64
		want         string
	}{
		{"half a hundredth goes up", "0.005", 1, 1, "0.01"},
		{"below it goes down", "0.004999999", 1, 1, "0.00"},
		{"1.005 is no float64", "1.005", 1, 1, "1.01"},
		{"a third", "1", 1, 3, "0.33"},
		{"a million of a tenth of a hundredth", "0.001", 1_000_000, 1, "1000.00"},
		{"a byte of a gigabyte", "0.12", 1, 1e9, "0.00"},
		{"an exabyte", "0.12", 1e18, 1e9, "120000000.00"},
		{"more than can be counted", "999999999", math.MaxInt64, 1, "92233720368547758.07"},
		{"nothing", "5", 0, 1, "0.00"},
	} {
		p, err := ParsePrice(row.price)
		if err != nil {
			t.Fatal(err)
		}
		if got := cost(p, row.things, row.unit).String(); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := Price(rapid.Int64Range(0, 1e15).Draw(t, "price"))
		n, unit := rapid.Int64Range(0, 1e13).Draw(t, "things"), rapid.SampledFrom([]int64{1, 3, gigabyte, linkHour, gigabyte * days}).Draw(t, "unit")
		exact := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(int64(p)), big.NewInt(n)), new(big.Int).Mul(big.NewInt(1e7), big.NewInt(unit)))
		off := new(big.Rat).Sub(new(big.Rat).SetInt64(int64(cost(p, n, unit))), exact)
		half := big.NewRat(1, 2)
		if cost(p, n, unit) != math.MaxInt64 && (off.Cmp(half) > 0 || off.Cmp(new(big.Rat).Neg(half)) <= 0) {
			t.Fatalf("%v for %d/%d is %v: off by %v hundredths", p, n, unit, cost(p, n, unit), off)
		}
	})
}

func TestWhatIsPrintedAddsUp(t *testing.T) {
	link := LinkTime(5_400_000_000_000)
	p := &Prices{Given: true, Currency: "EUR", Gigabyte: 120_000_000, Bundle: 10_000_000, File: 3_333_333, LinkHour: 3_500_000_000, GigabyteMonth: 50_000_000}
	c := p.Of(Figures{Bundles: 7, Files: 5, Bytes: 12_345_678_901, Link: &link, ByteDays: 90_000_000_000})
	if c.Bundles != 7 || c.Files != 2 || c.Bytes != 148 || c.Link != 525 || c.Storage != 15 || c.Total != 7+2+148+525+15 {
		t.Errorf("%+v", c)
	}
	if (&Prices{}).Of(Figures{Bundles: 1}) != nil {
		t.Error("without prices something costs")
	}
	text, err := json.Marshal(c)
	if want := `{"bundles":"0.07","files":"0.02","bytes":"1.48","link":"5.25","storage":"0.15","total":"6.97"}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

func TestLinkTimeIsExact(t *testing.T) {
	if l := LinkTimeOf(9_000_000_000, 9_000_000_000); l.String() != "8" {
		t.Error(l)
	}
	if l := LinkTimeOf(1, 8_000_000_000); l != 1 || l.String() != "0.000000001" {
		t.Error(l)
	}
	if l := LinkTimeOf(math.MaxInt64, 1); l != math.MaxInt64 {
		t.Error(l)
	}
	for _, text := range []string{`8`, `0.5`, `12.000000001`} {
		var l LinkTime
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.String() != text {
			t.Errorf("%s is %v, %v", text, l, err)
		}
	}
	for _, text := range []string{`-1`, `1.50`, `1e3`, `"1"`, `0.0000000001`, `01`} {
		if l := LinkTime(0); json.Unmarshal([]byte(text), &l) == nil {
			t.Errorf("%s is taken for %v", text, l)
		}
	}
}

func TestByteDays(t *testing.T) {
	const day = 86400
	for _, bytes := range []int64{1, 1<<20 - 1, 1 << 20, 1e13 + 7, 1 << 60} {
		if got := ByteDays((bytes>>storageShift)*day*3, (bytes&(1<<storageShift-1))*day*3); got != 3*bytes {
			t.Errorf("%d bytes for 3 days are %d", bytes, got)
		}
	}
	if got := ByteDays(math.MaxInt64, math.MaxInt64); got != math.MaxInt64 {
		t.Error(got)
	}
}

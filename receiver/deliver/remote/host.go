package remote

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// Host is the one form of HOST or HOST:PORT: two that are equal are one place.
func Host(text string) (string, error) {
	u, err := url.Parse("//" + text)
	if err != nil || u.Host != text || u.Hostname() == "" || u.User != nil || strings.ContainsFunc(text, func(c rune) bool { return c > unicode.MaxASCII || c <= ' ' || c == ',' }) {
		return "", errors.New("it is no HOST or HOST:PORT")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(text, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", errors.New("its port is not one of 1 to 65535")
		}
	}
	return strings.ToLower(text), nil
}

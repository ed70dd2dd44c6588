# For other scripts: count NAME proof|soak prints how many are required, variable NAME its variable, names all names.
counts=$(dirname "${BASH_SOURCE[0]}")/counts
names() { grep -v '^#' "$counts" | awk '{print $1}'; }
variable() { awk -v n="$1" '$1 == n { print $2 }' "$counts"; }
count() { awk -v n="$1" -v c="$2" '$1 == n { print (c == "soak") ? $4 : $3 }' "$counts"; }

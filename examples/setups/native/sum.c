#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    long sum = 0;
    for (int at = 1; at < argc; at++) sum += atol(argv[at]);
    printf("%ld\n", sum);
    return 0;
}

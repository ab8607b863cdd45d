// Compiled by gcc under the library, then run under it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *left, *right;
    char key[20];
};

static struct node *insert(struct node *at, const char *key)
{
    if (at == NULL) {
        at = calloc(1, sizeof *at);
        strncpy(at->key, key, sizeof at->key - 1);
        return at;
    }
    int order = strcmp(key, at->key);
    if (order < 0)
        at->left = insert(at->left, key);
    else if (order > 0)
        at->right = insert(at->right, key);
    return at;
}

static size_t free_tree(struct node *at)
{
    if (at == NULL)
        return 0;
    size_t n = 1 + free_tree(at->left) + free_tree(at->right);
    free(at);
    return n;
}

int main(void)
{
    struct node *root = NULL;
    unsigned state = 1;
    for (int i = 0; i < 50000; i++) {
        char key[20];
        state = state * 1103515245 + 12345;
        snprintf(key, sizeof key, "%08x", state >> 4);
        root = insert(root, key);
    }
    printf("%zu nodes\n", free_tree(root));
    return 0;
}

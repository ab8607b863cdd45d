"""What a heap looks like from outside: for hakmem-map."""

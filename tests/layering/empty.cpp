// Stands for a file that uses the library: its flags are those under which each header is compiled alone.
int main() {}

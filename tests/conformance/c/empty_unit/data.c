int declared(int);
extern int data;
int data = 3;
